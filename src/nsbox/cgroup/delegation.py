"""Where a caller may make groups, and what to run where it may not: cgroup-v2.rst, "Delegation".

Nothing here changes a permission, and nothing moves the caller but `enter_leaf`, which is asked to.
"""

import os

from nsbox import _native
from nsbox.cgroup import files, v2
from nsbox.cgroup.hierarchy import Hierarchy, own_groups
from nsbox.cgroup.owner import owner
from nsbox.constants import Capability
from nsbox.errors import UnsupportedError

LEAF = "nsbox-leaf-"
"""Groups that callers moved themselves into begin so."""


def base(hierarchy: Hierarchy, own: str, subsystems: frozenset[str]) -> str:
    """Return the group below which groups with these subsystems can be made, for this caller.

    That is the caller's own group, or on v2 the one above where the caller is in a leaf of a
    subtree that is delegated to it. Raises `UnsupportedError` that says what to run.
    """
    if hierarchy.version == 1:
        if not os.access(own, os.W_OK, effective_ids=True):
            raise UnsupportedError(_not_ours_v1(own))
        return own
    found = place(hierarchy, own)
    if not v2.may_delegate(found):
        raise UnsupportedError(_not_ours(own))
    check_hand_down(found, subsystems)
    return found


def place(hierarchy: Hierarchy, own: str) -> str:
    """Return the group below which a caller's groups are, whether it may make any or not."""
    above = os.path.dirname(own)
    if hierarchy.version == 1 or own == hierarchy.mountpoint:
        return own
    return above if _is_delegated(above, own) and v2.may_delegate(above) else own


def check_hand_down(folder: str, subsystems: frozenset[str]) -> None:
    """Raise `UnsupportedError` where a v2 group cannot hand these controllers down."""
    absent = subsystems - v2.controllers(folder)
    if absent:
        raise UnsupportedError(_absent(folder, absent))
    if subsystems <= v2.handed_down(folder) or v2.is_root(folder) or v2.is_threaded(folder):
        return
    inside = files.numbers(f"{folder}/cgroup.procs")
    if inside:
        raise UnsupportedError(_occupied(folder, inside))


def enter_leaf() -> str | None:
    """Move the calling process into a group of its own, so that others can be made beside it.

    cgroup v2 lets only a group without processes hand controllers down; this makes the caller's
    own group such a one, if no other process is in it. Returns the new group's folder, or None
    where there was nothing to do. Raises `UnsupportedError` that says what to run instead.
    """
    for hierarchy, own in own_groups().items():
        if hierarchy.version == 1 or v2.is_root(own) or place(hierarchy, own) != own:
            continue
        if not v2.may_delegate(own):
            raise UnsupportedError(_not_ours(own))
        others = [pid for pid in files.numbers(f"{own}/cgroup.procs") if pid != os.getpid()]
        if others:
            raise UnsupportedError(_occupied(own, tuple(others)))
        leaf = f"{own}/{LEAF}{owner()}"
        os.makedirs(leaf, exist_ok=True)
        files.write(f"{leaf}/cgroup.procs", str(os.getpid()))
        return leaf
    return None


def check_programs() -> None:
    """Raise `UnsupportedError` where the caller may load no eBPF program. See capabilities(7)."""
    held = Capability(_native.capabilities())
    needed = Capability.CAP_BPF | Capability.CAP_NET_ADMIN
    if held & needed != needed and not held & Capability.CAP_SYS_ADMIN:
        raise UnsupportedError(
            "devices: on cgroup v2 they are an eBPF program, and this caller may load none: that "
            "takes CAP_BPF and CAP_NET_ADMIN, as root of the host has them"
        )


def _is_delegated(above: str, own: str) -> bool:
    """Whether the group above is the top of a subtree that was given to the caller to divide.

    It bears systemd's mark, or was given by a chown: then what is above it is somebody else's. The
    groups in between are the caller's too, but leaving one's own for them would leave its limits.
    """
    if os.path.basename(own).startswith(LEAF) or any(
        _attribute(above, f"{space}.delegate") for space in ("trusted", "user")
    ):
        given = True
    else:
        user = os.geteuid()
        given = user != 0 and _owner(above) == user != _owner(os.path.dirname(above))
    return given and not files.numbers(f"{above}/cgroup.procs")


def _owner(folder: str) -> int:
    return os.stat(folder).st_uid


def _attribute(folder: str, name: str) -> bool:
    try:
        return os.getxattr(folder, name) == b"1"
    except OSError:
        return False


def _systemd() -> bool:
    return os.path.isdir("/run/systemd/system")


def _scope() -> str:
    user = "" if os.geteuid() == 0 else "--user "
    return f"systemd-run {user}--scope -p Delegate=yes PROGRAM"


def _not_ours(folder: str) -> str:
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return (
            f"cgroups: {folder} is mounted read only; run the container with "
            "--security-opt writable-cgroups=true (Docker 28), "
            "--security-opt unmask=/sys/fs/cgroup (podman), or privileged"
        )
    said = f"cgroups: {folder} is not delegated to user {os.geteuid()}; start the program with: "
    if _systemd():
        return said + _scope()
    return said + (
        f"(as root) cd {folder} && echo '+cpu +memory +pids' > {v2.CONTROL} && "
        "mkdir -p nsbox-delegated/leaf && cd nsbox-delegated && "
        f"chown {os.geteuid()} . {v2.JOIN} {v2.CONTROL} {v2.THREADS} leaf leaf/{v2.JOIN} && "
        f"echo {os.getpid()} > leaf/{v2.JOIN}"
    )


def _not_ours_v1(folder: str) -> str:
    user = os.geteuid()
    return (
        f"cgroups: user {user} may not make groups in {folder}; in each v1 hierarchy that is "
        f"needed, as root: cd {folder} && mkdir nsbox-delegated && chown -R {user} nsbox-delegated "
        f"&& echo {os.getpid()} > nsbox-delegated/cgroup.procs (cgcreate and cgexec do the same)"
    )


def _absent(folder: str, absent: frozenset[str]) -> str:
    names = " ".join(sorted(absent))
    said = f"cgroups: {folder} has not been given the controllers: {names}; "
    if not _systemd():
        adding = " ".join(f"+{name}" for name in sorted(absent))
        return said + f"as root: echo '{adding}' > {os.path.dirname(folder)}/{v2.CONTROL}"
    if os.geteuid() == 0:
        return said + _scope()
    return (
        said + "as root: systemctl edit user@.service, add the lines [Service] and "
        f"Delegate=cpu cpuset io memory pids {names}, and log in again; then: {_scope()}"
    )


def _occupied(folder: str, inside: tuple[int, ...]) -> str:
    others = [pid for pid in inside if pid != os.getpid()]
    said = (
        f"cgroups: {folder} holds processes, so it can hand no controllers down (cgroup-v2.rst, "
        '"No Internal Process Constraint"); '
    )
    if not others:
        return said + "call Cgroup.enter_leaf() first: it moves this process into a leaf below"
    moved = f"move {len(others)} other process(es), such as {others[0]}, into a group below it"
    return said + (f"start the program with: {_scope()}" if _systemd() else moved)
