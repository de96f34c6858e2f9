"""Which of the younger system calls the kernel has, and a seccomp filter lets through."""

import errno

import attrs

from nsbox.host.finding import Finding, Obstacle
from nsbox.host.host import Host
from nsbox.system_calls import MOUNT_CALLS, SINCE, is_refused


@attrs.frozen(kw_only=True)
class LandlockReport(Finding):
    """Whether the caller can restrict itself, with the version that the kernel names."""

    abi: int  # 0: none


def seccomp(host: Host) -> Finding:
    """Ask for filters of system calls: seccomp(2)."""
    return _finding(host, "seccomp", "seccomp")


def landlock(host: Host) -> LandlockReport:
    """Ask for Landlock's version: landlock_create_ruleset(2)."""
    answer = host.ask("landlock_create_ruleset")
    obstacle = _obstacle(host, "landlock_create_ruleset")
    if answer == -errno.EOPNOTSUPP:
        obstacle = Obstacle(
            "the kernel has Landlock, but was booted without it",
            "add landlock to the list of lsm= on the kernel's command line",
        )
    return LandlockReport(
        name="landlock",
        detail="missing" if obstacle else f"version {answer} of its interface",
        obstacle=obstacle,
        abi=max(0, answer),
    )


def mount_api(host: Host) -> Finding:
    """Ask for the file-descriptor based mount calls: fsopen(2), open_tree(2), mount_setattr(2).

    Without them, boxes get their mounts by mount(2).
    """
    finding = _finding(host, "mount calls", *MOUNT_CALLS)
    return finding if finding.ok else attrs.evolve(finding, detail=f"{finding.detail}: mount(2)")


def clone3(host: Host) -> Finding:
    """Ask for clone3(2)."""
    return _finding(host, "clone3", "clone3")


def close_range(host: Host) -> Finding:
    """Ask for close_range(2)."""
    return _finding(host, "close_range", "close_range")


def memfd_exec(host: Host) -> Finding:
    """Look whether a program can run from memory: memfd_create(2), proc_sys_vm(5)."""
    if host.sysctl("vm.memfd_noexec") == 2:
        reason = "the sysctl vm.memfd_noexec is 2: no program runs from memory"
        return Finding("memfd_exec", "forbidden", Obstacle(reason, "sysctl -w vm.memfd_noexec=1"))
    return Finding("memfd_exec", "programs run from memory")


def _finding(host: Host, name: str, *calls: str) -> Finding:
    obstacles = {call: found for call in calls if (found := _obstacle(host, call))}
    if not obstacles:
        return Finding(name, ", ".join(calls))
    return Finding(name, f"no {', '.join(obstacles)}", next(iter(obstacles.values())))


def _obstacle(host: Host, call: str) -> Obstacle | None:
    """Read what an answer means, for arguments that can only be refused: syscalls(2)."""
    answer, (major, minor) = host.ask(call), SINCE[call]
    if answer == -errno.ENOSYS and host.version < (major, minor):
        return Obstacle(f"{call} came with Linux {major}.{minor}", "boot a younger kernel")
    if answer == -errno.ENOSYS and not host.filtered:
        return Obstacle(f"this kernel was built without {call}", "boot one that has it")
    if answer == -errno.ENOSYS or is_refused(call, answer):
        return Obstacle(
            f"a seccomp filter on the caller refuses {call}",
            "allow it in the container's profile: docker run --security-opt seccomp=FILE",
        )
    return None
