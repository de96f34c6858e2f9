"""What is likely missing when a step fails, and how to get it: a table by (step, errno).

A hint is only ever added to the kernel's own answer, never put in its place.
"""

import errno
from collections.abc import Callable

from nsbox._native.operations import Operation
from nsbox.constants import AT_FDCWD, CloneFlag
from nsbox.plan import Slot, Step
from nsbox.system_calls import SINCE


def hint(step: Step, number: int) -> str | None:
    """Return what would help with a step that failed with an errno, or None."""
    if number == errno.ENOSYS:
        return _too_old(step)
    make = _TABLE.get((step.name, number))
    return make(step) if make else None


def _too_old(step: Step) -> str:
    version = SINCE.get(step.name)
    need = "it came with Linux {}.{}".format(*version) if version else "it is not configured"
    return f"hint: this kernel has no {step.name} ({need}), or a seccomp filter hides it"


def _user_namespaces(step: Step) -> str | None:
    """Say what keeps this caller from a user namespace, as `nsbox.probe` finds it."""
    from nsbox.host import probe  # noqa: PLC0415 - only a failure pays for looking

    finding = probe().user_namespaces
    if finding.ok:
        return None
    return f"hint: {finding.reason}; {finding.remedy}"


def _clone(step: Step) -> str | None:
    flags = step.arguments[0] if step.arguments else 0
    assert isinstance(flags, int)
    if not flags & CloneFlag.CLONE_NEWUSER:
        return "hint: new namespaces need CAP_SYS_ADMIN, or a user namespace of their own"
    return _user_namespaces(step) or (
        "hint: this host lets this caller make no user namespace; a container's seccomp filter "
        "or a security module may be the reason: see nsbox.probe()"
    )


def _kind_of_namespace(lack: str) -> str | None:
    """Say which kind of namespace this host lacks, or forbids, as `nsbox.probe` finds it."""
    from nsbox.host import probe  # noqa: PLC0415 - only a failure pays for looking

    for finding in probe().namespaces.values():
        if finding.detail == lack:
            return f"hint: {finding.reason}; {finding.remedy}"
    return None


def _missing_kind(step: Step) -> str | None:
    return _kind_of_namespace("missing")


def _limit(step: Step) -> str:
    return _kind_of_namespace("forbidden") or (
        "hint: there are as many namespaces as the limits in /proc/sys/user allow this user, or "
        "they are nested as deep as the kernel allows (32)"
    )


def _sets_clocks(step: Step) -> bool:
    return str(step.path).endswith("/timens_offsets")


def _clock_before_zero(step: Step) -> str | None:
    if not _sets_clocks(step):
        return None
    return (
        "hint: a clock of a time namespace is at 0 or above: the host's, as clock_gettime(2) gives "
        "it, is the most that it can be behind"
    )


def _id_map(step: Step) -> str | None:
    if _sets_clocks(step):
        return (
            "hint: to set clocks takes CAP_SYS_TIME in the user namespace that the time namespace "
            "belongs to: a box has it in one of its own, {NamespaceType.USER: Choice.NEW}"
        )
    if not str(step.path).startswith("/proc/self/"):
        return _ranges(step)
    return _user_namespaces(step) or (
        "hint: an ordinary caller can map its own user and group id, and no other, and must be "
        "dumpable (see PR_SET_DUMPABLE(2const)) to do so"
    )


def _ranges(step: Step) -> str | None:
    """Of maps that are written from outside."""
    if not str(step.path).endswith(("/uid_map", "/gid_map")):
        return None
    return (
        "hint: ranges of ids take CAP_SETUID and CAP_SETGID, and a user namespace of the caller's "
        "that has these ids itself; to map its id 0 takes CAP_SETFCAP, too"
    )


def _ended(step: Step) -> str | None:
    return "hint: the box has ended" if step.operation is Operation.ALIVE else None


def _frozen(step: Step) -> str | None:
    if step.operation is not Operation.THAWED:
        return None
    return "hint: the box is frozen, nothing can be started in it before it is thawed"


def _join(step: Step) -> str:
    return (
        "hint: to move into a namespace takes CAP_SYS_ADMIN in the user namespace that it belongs "
        "to, and, but for a user namespace, in the mover's own (for a mnt namespace CAP_SYS_CHROOT "
        "too): an ordinary caller starts a box that joins it"
    )


def _join_refused(step: Step) -> str:
    return (
        "hint: a process joins no user namespace that it is in already, no pid namespace that is "
        "not below its own, and neither these nor a time or mnt namespace beside other threads"
    )


def _join_time(step: Step) -> str:
    return "hint: a process with threads, or with shared memory, cannot change its time namespace"


def _no_such_id(step: Step) -> str:
    return (
        "hint: the box's user namespace has no such id: see its /proc/PID/uid_map and gid_map; "
        "the spec's id_map says who the command is to be in one that it joins"
    )


def _missing_command(step: Step) -> str:
    name = step.path or ""
    if "/" in name:
        return (
            f"hint: {name} is not in the box's root, or the interpreter or dynamic loader that it "
            "names is not"
        )
    return f"hint: {name!r} is in no folder of the PATH that the box's environment gives"


def _not_executable(step: Step) -> str:
    return f"hint: {step.path} is no program that this user may execute, or its mount is noexec"


def _missing_source(step: Step) -> str:
    if step.arguments[1] == Slot.FOLDER:
        return f"hint: {step.path!r} has gone from the folder of the host since that was listed"
    if step.arguments[1] != AT_FDCWD:
        return f"hint: {step.path!r} does not exist in the box's root"
    return f"hint: {step.path} does not exist on the host, and so cannot be shown in the box"


def _no_device(step: Step) -> str:
    if step.operation is Operation.MOUNT:
        return f"hint: this kernel has no file system {step.arguments[1]!r}, or no module of it"
    named = step.operation in (Operation.OPEN_DEVICE, Operation.BIND_DEVICE)
    name = step.path if named else "/dev/null"
    return f"hint: {name} of this host is not the device of that name; see mknod(1), null(4)"


def _no_idmap(step: Step) -> str | None:
    if step.operation is not Operation.MAP_IDS:
        return None
    return "hint: this kernel cannot show files of that file system as another's"


def _refused_parameters(step: Step) -> str:
    return (
        "hint: the file system refuses these parameters, and the kernel's log says why; what an "
        "overlay keeps must be on a local file system such as ext4, xfs, btrfs or tmpfs"
    )


def _no_program(step: Step) -> str:
    return (
        "hint: rules for devices are an eBPF program on cgroup v2: to load one takes CAP_BPF and "
        "CAP_NET_ADMIN, and to replace one CAP_SYS_ADMIN, in the host's own user namespace; a "
        "container's seccomp filter or a program of a group above may be the reason, too"
    )


def _no_programs(step: Step) -> str:
    return "hint: this kernel may be without eBPF programs for groups (CONFIG_CGROUP_BPF)"


def _no_pivot(step: Step) -> str:
    return (
        "hint: the caller's own root is no mount, as in a chroot(1): mount --bind it on itself "
        "before entering it"
    )


def _no_mknod(step: Step) -> str:
    return (
        "hint: CAP_MKNOD is there, but a cgroup's rules for devices or a security module refuse: a "
        "box makes the nodes of its /dev itself, which rules of its own allow by 'c *:* m'"
    )


def _not_copied(step: Step) -> str:
    return "hint: a layer takes away a file or folder of one below, which only an overlay can show"


def _no_room(step: Step) -> str:
    if step.operation is Operation.COPY_UP:
        return "hint: what is copied takes more memory than the size of the new file system"
    return "hint: the copy that stands in for an overlay takes more memory than it may"


def _missing_target(step: Step) -> str:
    return "hint: the mount point is missing in the box's root, or a link on the way leads nowhere"


def _missing_folder(step: Step) -> str | None:
    return _missing_target(step) if step.operation is Operation.COPY_UP else None


def _no_copy(step: Step) -> str:
    return (
        "hint: to mount takes CAP_SYS_ADMIN in the user namespace that owns the caller's mnt "
        "namespace: an ordinary user has that in one of its own, as unshare -Urm makes it"
    )


def _by_mount(step: Step) -> str | None:
    """Tell of a missing source or place as of the younger calls'; the older one has one name."""
    if step.operation in (Operation.BIND, Operation.BIND_DEVICE):
        return _missing_source(step)
    return _missing_target(step) if step.operation is Operation.MOVE else None


def _mount_refused(step: Step) -> str | None:
    if step.operation is Operation.MOUNT and step.arguments[1] in ("proc", "sysfs"):
        return _masked_proc(step)
    return _mount_denied(step)


def _covered(step: Step) -> str:
    return (
        "hint: below what is shown something is mounted upon another mount, which this kernel "
        "cannot restrict; from Linux 5.12 on it can"
    )


def _no_priority(step: Step) -> str:
    return (
        "hint: to come before others takes CAP_SYS_NICE in the host's user namespace, or a limit "
        "(nice, rtprio) that allows it; in a cgroup of v1, real time that cpu.rt_runtime_us gives"
    )


def _no_node(step: Step) -> str:
    return (
        "hint: this machine lacks such a memory node (/sys/devices/system/node/online), the box's "
        "cpuset leaves it none of these, or this kernel knows no such policy"
    )


def _loop(step: Step) -> str:
    return (
        "hint: a mnt namespace can be pinned only in one that is older than itself, or it would "
        "keep itself alive"
    )


def _readonly_target(step: Step) -> str:
    return (
        f"hint: {step.path!r} is missing where it is to be mounted upon, and cannot be made there, "
        "because the file system is read-only: make it beforehand, or mount elsewhere"
    )


def _masked_proc(step: Step) -> str:
    return (
        "hint: in a user namespace /proc can be mounted only where the host's own is wholly "
        "visible and the pid namespace is new; inside a container, its /proc must not be masked; "
        'with the pids of the caller, bind its own: Mount.bind("/proc", "/proc")'
    )


def _no_key(step: Step) -> str:
    return (
        "hint: the user's quota of keys is used up, each box having a keyring: see the sysctl "
        "kernel.keys.maxkeys, or evolve the Security with keyring=False"
    )


def _no_label(step: Step) -> str:
    return (
        "hint: the security module knows no such profile or label, or does not let this process "
        "change to it; with no_new_privs only to one that allows less"
    )


def _mount_denied(step: Step) -> str | None:
    return _user_namespaces(step) or "hint: mounting needs CAP_SYS_ADMIN in the box's namespaces"


_TABLE: dict[tuple[str, int], Callable[[Step], str | None]] = {
    (Operation.CLONE3.syscall, errno.EPERM): _clone,
    (Operation.CLONE3.syscall, errno.EACCES): _clone,
    (Operation.CLONE3.syscall, errno.EINVAL): _missing_kind,
    (Operation.CLONE3.syscall, errno.ENOSPC): _limit,
    (Operation.CLONE3.syscall, errno.EUSERS): _limit,
    (Operation.UNSHARE.syscall, errno.EPERM): _clone,
    (Operation.UNSHARE.syscall, errno.EINVAL): _missing_kind,
    (Operation.UNSHARE.syscall, errno.ENOSPC): _limit,
    (Operation.UNSHARE.syscall, errno.EUSERS): _limit,
    (Operation.ALIVE.syscall, errno.ESRCH): _ended,
    (Operation.THAWED.syscall, errno.EAGAIN): _frozen,
    (Operation.SETNS.syscall, errno.EPERM): _join,
    (Operation.SETNS.syscall, errno.EINVAL): _join_refused,
    (Operation.SETNS.syscall, errno.EUSERS): _join_time,
    (Operation.SETRESGID.syscall, errno.EINVAL): _no_such_id,
    (Operation.SETRESUID.syscall, errno.EINVAL): _no_such_id,
    (Operation.WRITE.syscall, errno.EPERM): _id_map,
    (Operation.WRITE.syscall, errno.EACCES): _id_map,
    (Operation.WRITE.syscall, errno.EINVAL): _ranges,
    (Operation.WRITE.syscall, errno.ERANGE): _clock_before_zero,
    (Operation.OPEN_TREE.syscall, errno.EPERM): _no_copy,
    (Operation.OPEN_TREE.syscall, errno.ENOENT): _missing_source,
    (Operation.MOUNT_SETATTR.syscall, errno.EACCES): _mount_denied,
    (Operation.MOUNT_SETATTR.syscall, errno.EPERM): _mount_denied,
    (Operation.OPEN_TREE.syscall, errno.ENODEV): _no_device,
    (Operation.MOVE_MOUNT.syscall, errno.ENODEV): _no_device,
    (Operation.SETPRIORITY.syscall, errno.EACCES): _no_priority,
    (Operation.SCHED_SETSCHEDULER.syscall, errno.EPERM): _no_priority,
    (Operation.IOPRIO_SET.syscall, errno.EPERM): _no_priority,
    (Operation.SET_MEMPOLICY.syscall, errno.EINVAL): _no_node,
    (Operation.MOUNT.syscall, errno.EPERM): _mount_refused,
    (Operation.MOUNT.syscall, errno.ENOENT): _by_mount,
    (Operation.MOUNT.syscall, errno.ENODEV): _no_device,
    (Operation.REMOUNT.syscall, errno.EBUSY): _covered,
    (Operation.MAP_IDS.syscall, errno.EINVAL): _no_idmap,
    (Operation.FSCONFIG.syscall, errno.EINVAL): _refused_parameters,
    (Operation.BPF_DEVICES.syscall, errno.EPERM): _no_program,
    (Operation.BPF_DEVICES.syscall, errno.EINVAL): _no_programs,
    (Operation.PIVOT_ROOT.syscall, errno.EINVAL): _no_pivot,
    (Operation.MKNODAT.syscall, errno.EPERM): _no_mknod,
    (Operation.COPY_TREE.syscall, errno.EOPNOTSUPP): _not_copied,
    (Operation.COPY_TREE.syscall, errno.ENOSPC): _no_room,
    (Operation.COPY_UP.syscall, errno.ENOENT): _missing_folder,
    (Operation.FSOPEN.syscall, errno.EPERM): _mount_denied,
    (Operation.FSCONFIG.syscall, errno.EPERM): _masked_proc,
    (Operation.FSMOUNT.syscall, errno.EPERM): _masked_proc,
    (Operation.MOVE_MOUNT.syscall, errno.ENOENT): _missing_target,
    (Operation.MOVE_MOUNT.syscall, errno.ELOOP): _loop,
    (Operation.MKDIRAT.syscall, errno.EROFS): _readonly_target,
    (Operation.OPENAT.syscall, errno.EROFS): _readonly_target,
    (Operation.MKDIRAT.syscall, errno.EACCES): _readonly_target,
    (Operation.OPENAT.syscall, errno.EACCES): _readonly_target,
    (Operation.JOIN_SESSION_KEYRING.syscall, errno.EDQUOT): _no_key,
    (Operation.LABEL.syscall, errno.ENOENT): _no_label,
    (Operation.LABEL.syscall, errno.EINVAL): _no_label,
    (Operation.LABEL.syscall, errno.EACCES): _no_label,
    (Operation.EXECVE.syscall, errno.ENOENT): _missing_command,
    (Operation.EXECVE.syscall, errno.EACCES): _not_executable,
}
