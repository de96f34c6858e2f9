"""Whether overlay file systems can be mounted."""

from nsbox.constants import Capability
from nsbox.host.finding import Finding, Obstacle
from nsbox.host.host import Host
from nsbox.procfs import parse_filesystems

_IN_USER_NAMESPACE = (5, 11)


def overlay(host: Host) -> Finding:
    """Look for the file system, loaded or as a module that loads when first mounted.

    See proc_filesystems(5) and modprobe(8).
    """
    unprivileged = not host.capabilities & Capability.CAP_SYS_ADMIN
    if unprivileged and host.version < _IN_USER_NAMESPACE:
        reason = "without CAP_SYS_ADMIN, overlay file systems need Linux 5.11"
        return Finding("overlay", "privileged only", Obstacle(reason, "boot a younger kernel"))
    if "overlay" in (host.parse("/proc/filesystems", parse_filesystems) or ()):
        return Finding("overlay", "loaded")
    if not _has_module(host):
        return Finding(
            "overlay",
            "missing",
            Obstacle(
                "the kernel has no overlay file system loaded, and no module of it is in sight",
                "modprobe overlay (outside of any container), or a kernel with CONFIG_OVERLAY_FS",
            ),
        )
    if host.sysctl("kernel.modules_disabled") == 1:
        reason = "overlay is a module, and the sysctl kernel.modules_disabled is 1"
        return Finding("overlay", "not loaded", Obstacle(reason, "load it while booting"))
    return Finding("overlay", "a module that loads when first mounted")


def _has_module(host: Host) -> bool:
    return any(
        "/overlay.ko" in (host.read(f"/lib/modules/{host.release}/{index}") or "")
        for index in ("modules.dep", "modules.builtin")
    )
