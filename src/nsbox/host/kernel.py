"""Which kernel this is, and whether it is young enough."""

import attrs

from nsbox.host.finding import Finding, Obstacle
from nsbox.host.host import Host

OLDEST = (5, 10)


@attrs.frozen(kw_only=True)
class KernelReport(Finding):
    """The kernel's release, and the two numbers that it starts with."""

    release: str
    version: tuple[int, int]


def kernel(host: Host) -> KernelReport:
    """Read the release; some functions need a younger kernel, and have findings of their own."""
    obstacle = None
    if not host.release:
        obstacle = Obstacle("/proc/sys/kernel/osrelease cannot be read", "mount -t proc proc /proc")
    elif host.version < OLDEST:
        obstacle = Obstacle(
            "nsbox needs Linux 5.10, and 5.12 for all that it does", "boot a younger kernel"
        )
    return KernelReport(
        name="kernel",
        detail=f"Linux {host.release or 'unknown'}",
        obstacle=obstacle,
        release=host.release,
        version=host.version,
    )
