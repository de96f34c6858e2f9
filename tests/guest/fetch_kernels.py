#!/usr/bin/env python3
"""Fetch the newest kernels of other Debian releases, unpacked and never installed: see --help."""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from vm.kernel import CACHE

SUITES = {
    "5.10": "http://deb.debian.org/debian-security bullseye-security",
    "6.12": "http://deb.debian.org/debian trixie",
    "7": "http://deb.debian.org/debian trixie-backports",
}
"""Series of the kernel, and the Debian suite that has it."""

METAPACKAGE = "linux-image-cloud-amd64"

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Apt:
    """apt(8) with sources, lists and archives of its own: the machine's are left alone."""

    def __init__(self, folder: Path, suites: list[str]) -> None:
        for name in ("lists/partial", "archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        sources = folder / "sources.list"
        sources.write_text("".join(f"deb [signed-by={KEYRING}] {s} main\n" for s in suites))
        self._options = {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": folder,
            "APT::Sandbox::User": "root",
        }

    def __call__(self, program: str, *args: str, cwd: Path | None = None) -> str:
        options = [
            word for key, value in self._options.items() for word in ("-o", f"{key}={value}")
        ]
        done = subprocess.run(
            [program, "-qq", *options, *args],
            cwd=cwd,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    def newest(self, series: str) -> str | None:
        """Return the newest version of a series of the metapackage, or None."""
        lines = self("apt-cache", "madison", METAPACKAGE).splitlines()
        versions = [line.split("|")[1].strip() for line in lines]
        return next((v for v in versions if v.startswith(f"{series}.")), None)

    def parts(self, package: str, version: str) -> list[str]:
        """Return the packages that a kernel is in: one or, in younger releases, four."""
        text = self("apt-cache", "show", f"{package}={version}")
        depends = next((line for line in text.splitlines() if line.startswith("Depends:")), "")
        found = re.findall(r"linux-(?:image|base|binary|modules)-\d\S*", depends)
        deeper = [part for name in found for part in self.parts(name, version)]
        return list(dict.fromkeys([*found, *deeper]))


def fetch(apt: Apt, series: str) -> Path | None:
    """Download and unpack the newest kernel of a series, unless it is there; return its folder."""
    version = apt.newest(series)
    if version is None:
        return None
    tree = CACHE / series
    stamp = tree / "version"
    if stamp.exists() and stamp.read_text() == version:
        return tree
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "archives").mkdir(parents=True)
    parts = [f"{name}={version}" for name in apt.parts(METAPACKAGE, version)]
    apt("apt-get", "download", *parts, cwd=tree / "archives")
    for archive in (tree / "archives").iterdir():
        subprocess.run(["dpkg-deb", "-x", archive, tree], check=True)
    shutil.rmtree(tree / "archives")
    _complete(tree)
    stamp.write_text(version)
    return tree


def _complete(tree: Path) -> None:
    """Do what installing the packages would have done: the image in /boot, modules.dep(5)."""
    if not (tree / "lib").exists():
        (tree / "lib").symlink_to("usr/lib")
    (tree / "boot").mkdir(exist_ok=True)
    for modules in (tree / "lib/modules").iterdir():
        if (modules / "vmlinuz").exists():
            (modules / "vmlinuz").rename(tree / "boot" / f"vmlinuz-{modules.name}")
        subprocess.run(["depmod", "--basedir", tree, modules.name], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=f"Fetch Debian's newest cloud kernels into {CACHE} "
        "(or $NSBOX_GUEST_KERNEL_CACHE), with apt but without installing anything."
    )
    parser.add_argument(
        "series", nargs="*", default=list(SUITES), help=f"of {', '.join(SUITES)}; default: all"
    )
    series = parser.parse_args().series
    if unknown := set(series) - set(SUITES):
        parser.error(f"no suite is known for {', '.join(unknown)}")
    apt = Apt(CACHE / "apt", [SUITES[name] for name in series])
    apt("apt-get", "update")
    for name in series:
        tree = fetch(apt, name)
        if tree is None:
            sys.exit(f"{SUITES[name]} has no {METAPACKAGE} {name}")
        print(*sorted((tree / "boot").glob("vmlinuz-*")))


if __name__ == "__main__":
    main()
