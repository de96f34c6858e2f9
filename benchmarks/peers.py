"""Other programs that start a command in isolation, each as the command line that does it once."""

import json
import os
import shutil
import subprocess
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
    }  # fmt: skip


def privileged(folder: Path, true: list[str]) -> dict[str, list[str]]:
    """Return the peers that root runs where they find the host as it is."""
    return {
        "unshare": ["unshare", "-muinpCf", *true],
        **unprivileged(true),
        "runc": _oci(folder, "runc", true),
    }


def on_cgroup2(folder: Path, true: list[str]) -> dict[str, list[str]]:
    """Return the peers that take no part where v1 hierarchies lie beside the unified one.

    crun refuses such a host, whatever is asked of it: see `cgroup2_view`. With its cgroups it makes
    one group, without limits, as nothing is in the unified hierarchy to limit.
    """
    return {
        "crun": _oci(folder, "crun", true, "--cgroup-manager", "cgroupfs"),
        "crun, no cgroup": _oci(folder, "crun", true, "--cgroup-manager", "disabled"),
    }


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


def _oci(folder: Path, runtime: str, true: list[str], *options: str) -> list[str]:
    """Make a bundle as the runtime itself specifies it, with busybox as its root."""
    if shutil.which(runtime) is None:
        return [runtime]  # and whoever tries it says that there is no such program
    bundle = folder / runtime
    if not bundle.exists():
        (bundle / "rootfs/bin").mkdir(parents=True)
        shutil.copy(true[0], bundle / "rootfs/bin/busybox")
        subprocess.run([runtime, "spec"], cwd=bundle, check=True)
        config = json.loads((bundle / "config.json").read_text())
        config["process"].update(args=["/bin/busybox", "true"], terminal=False)
        if runtime == "crun":  # on v2 rules for devices are BPF, which takes CAP_SYS_RESOURCE
            config["linux"].pop("resources", None)
        (bundle / "config.json").write_text(json.dumps(config))
    state = ["--root", str(folder / f"{runtime}-state")]
    name = f"nsbox-bench-{os.getpid()}"
    return [runtime, *state, *options, "run", "--bundle", str(bundle), name]
