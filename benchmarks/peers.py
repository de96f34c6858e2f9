"""Other programs that start a command in isolation, each as the command line that does it once."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from nsbox.procfs import parse_mountinfo

CGROUPS = "/sys/fs/cgroup"


def unprivileged(true: list[str]) -> dict[str, list[str]]:
    """Return the peers that an ordinary user can run."""
    return {
        "bwrap": [
            "bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
            "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
            "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *true,
        ],
        "containerexec": [
            "containerexec", "--quiet", "--read-only-dir", "/", "--hidden-dir", "/home",
            "--hidden-dir", "/tmp", "--dir", "/", *true,
        ],
    }  # fmt: skip


def privileged(folder: Path, true: list[str]) -> dict[str, list[str]]:
    """Return the peers that root runs where they find the host as it is."""
    return {
        "unshare": ["unshare", "-muinpCf", *true],
        **unprivileged(true),
        "runc": _oci(folder, "runc", true),
        "lxc-execute": _lxc(folder, true),
        "systemd-nspawn": [
            "systemd-nspawn", "--quiet", "--private-network", "--console=pipe",
            "--directory", str(_root(folder / "nspawn", true)), "/bin/busybox", "true",
        ],
    }  # fmt: skip


def on_cgroup2(folder: Path, true: list[str]) -> dict[str, list[str]]:
    """Return the peers that take no part where v1 hierarchies lie beside the unified one.

    crun refuses such a host, whatever is asked of it: see `cgroup2_view`. With its cgroups it makes
    one group, without limits, as nothing is in the unified hierarchy to limit.
    """
    return {
        "crun": _oci(folder, "crun", true, "--cgroup-manager", "cgroupfs"),
        "crun, no cgroup": _oci(folder, "crun", true, "--cgroup-manager", "disabled"),
    }


def podman(folder: Path, true: list[str]) -> dict[str, list[str]]:
    """Return podman with all that it keeps in the folder, and crun: to be started `apart`."""
    places = {option: str(folder / "podman" / option) for option in ("root", "runroot", "tmpdir")}
    return {
        "podman, no cgroup": [
            "podman", *(f"--{option}={place}" for option, place in places.items()),
            "--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none",
            "--runtime=crun", "run", "--rm", "--network=none", "--cgroups=disabled",
            "--log-driver=none", "--ulimit=host",
            "--rootfs", str(_root(folder / "podman", true)), "/bin/busybox", "true",
        ],
    }  # fmt: skip


PIDS_APART = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""For what leaves processes behind, which not every host's process 1 collects."""


def why_not(name: str) -> str | None:
    """Return why a peer can take no part, as far as that is known beforehand."""
    if shutil.which(name) is None:
        return "not installed"
    if name == "systemd-nspawn" and not Path("/run/systemd/system").exists():
        return "systemd does not run here"
    return None


@contextlib.contextmanager
def docker(folder: Path, true: list[str]) -> Iterator[list[str]]:
    """Yield the command of docker's, by an image of that root, which is removed in the end.

    Raises `subprocess.CalledProcessError`: its daemon does not run.
    """
    subprocess.run(["docker", "version"], check=True, capture_output=True)
    root, image = _root(folder / "docker", true), f"nsbox-bench-{os.getpid()}"
    with subprocess.Popen(["tar", "-c", "-C", root, "."], stdout=subprocess.PIPE) as tar:
        load = ["docker", "import", "-", image]
        subprocess.run(load, check=True, stdin=tar.stdout, capture_output=True)
    try:
        yield ["docker", "run", "--rm", "--network=none", image, "/bin/busybox", "true"]
    finally:
        subprocess.run(["docker", "rmi", image], check=False, capture_output=True)


@contextlib.contextmanager
def tidied() -> Iterator[None]:
    """Remove in the end the empty groups that lxc leaves behind at the roots of the hierarchies."""
    mounts = parse_mountinfo(Path("/proc/self/mountinfo").read_text())
    roots = [mount.mount_point for mount in mounts if mount.fs_type.startswith("cgroup")]
    new = [left for root in roots if not (left := Path(root, "lxc.pivot")).exists()]
    yield
    for left in new:
        with contextlib.suppress(OSError):
            left.rmdir()


def cgroup2_view() -> list[str]:
    """Return what runs a program where `/sys/fs/cgroup` is the unified hierarchy and nothing else.

    On a hybrid host it is a private mount namespace in which the host's own mount of it is bound
    there: nobody else sees that. Elsewhere nothing is needed.
    """
    mounts = parse_mountinfo(Path("/proc/self/mountinfo").read_text())
    unified = [mount.mount_point for mount in mounts if mount.fs_type == "cgroup2"]
    if not unified or CGROUPS in unified:
        return []
    bind = f'mount --bind "$0" {CGROUPS} && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", bind, unified[0]]


def _root(folder: Path, true: list[str]) -> Path:
    """Make a root with busybox in it, and with the folders that others want to mount on."""
    root = folder / "rootfs"
    if not root.exists():
        for name in ("bin", "usr", "sbin", "dev", "proc", "sys", "etc", "tmp"):
            (root / name).mkdir(parents=True)
        shutil.copy(true[0], root / "bin/busybox")
    return root


def _lxc(folder: Path, true: list[str]) -> list[str]:
    here = folder / "lxc"
    root = _root(here, true)
    for name in ("containers", "mount"):
        (here / name).mkdir(exist_ok=True)
    folder.chmod(0o755)  # it wants its path open to all
    (here / "config").write_text(
        f"lxc.rootfs.path = dir:{root}\nlxc.rootfs.mount = {here}/mount\n"
        "lxc.net.0.type = empty\nlxc.mount.auto = proc sys\n"
    )
    own = ["-P", f"{here}/containers", "-f", f"{here}/config"]
    return ["lxc-execute", "-n", f"nsbox-bench-{os.getpid()}", *own, "--", "/bin/busybox", "true"]


def _oci(folder: Path, runtime: str, true: list[str], *options: str) -> list[str]:
    """Make a bundle as the runtime itself specifies it, with busybox as its root."""
    if shutil.which(runtime) is None:
        return [runtime]  # and whoever tries it says that there is no such program
    bundle = folder / runtime
    if not bundle.exists():
        _root(bundle, true)
        subprocess.run([runtime, "spec"], cwd=bundle, check=True)
        config = json.loads((bundle / "config.json").read_text())
        config["process"].update(args=["/bin/busybox", "true"], terminal=False)
        if runtime == "crun":  # on v2 rules for devices are BPF, which takes CAP_SYS_RESOURCE
            config["linux"].pop("resources", None)
        (bundle / "config.json").write_text(json.dumps(config))
    state = ["--root", str(folder / f"{runtime}-state")]
    name = f"nsbox-bench-{os.getpid()}"
    return [runtime, *state, *options, "run", "--bundle", str(bundle), name]
