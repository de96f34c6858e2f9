"""The one list of operations: what a plan can be made of.

The C switch that carries them out (``steps.c``) is generated from this list as an enumeration, so
that the compiler refuses a member without a case; `nsbox.plan` encodes and prints steps by it; the
manual references stand here and nowhere else.

An operation is written as strace(1) would print it. A name in braces is an operand; behind the
colon stands how it travels: ``slot`` a descriptor by its place in the slot table, ``into`` the slot
that takes the result (and closes what it held), ``text`` a NUL-terminated string, ``data`` bytes
with their length, ``number`` an integer; ``shown`` is only for the reader. A path beside a slot is
resolved beneath that slot's folder with ``RESOLVE_IN_ROOT`` semantics: no symbolic link leads out
of it.
"""

import enum
import re

_OPERAND = re.compile(r"\{(\w+):(slot|into|text|data|number|shown)\}")


class Operation(enum.Enum):
    """One kind of step: a system call, its operands and its manual page."""

    # Whether a plan that was kept still holds: asked by the caller, and no part of the plan.
    SAME_CALLER = "capget() -> {uid:number}, {gid:number}, {capabilities:number}", "capget(2)"
    UNCHANGED = "statx({path:text}) -> {mtime:number}", "statx(2)"
    SAME_KIND = "statx({path:text}) -> {folder:number}", "statx(2)"
    SAME_MOUNTS = (
        "ppoll({mountinfo:number}, POLLPRI) -> 0, mnt:[{inode:number}], {watch:number}",
        "proc_pid_mountinfo(5)",
    )

    # Whether a box can be joined: asked by the caller itself, before the clone.
    ALIVE = "ppoll({process:slot}<{file:shown}>, POLLIN) -> 0", "pidfd_open(2)"
    THAWED = "read({path:text}) -> not {frozen:text}", "cgroups(7)"

    # Before the clone: done by the caller itself.
    UNSHARE_BESIDE = (
        'unshare({flags:number}), ioctl(SIOCSIFFLAGS, "lo", IFF_UP), by a clone3(CLONE_VM)',
        "unshare(2)",
    )
    MKDIR = "mkdir({path:text}, {mode:number})", "mkdir(2)"
    BPF_DEVICES = (
        "bpf(BPF_PROG_ATTACH, {path:text}, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI, {program:data})",
        "bpf(2)",
    )

    # Leaving the caller: run by a child that still shares the caller's memory.
    OPEN_FOLDER = "{dir:into} = open({path:text}, O_PATH|O_DIRECTORY)", "open(2)"
    CLONE3 = "clone3({flags:number})", "clone(2)"
    CLONE3_INTO = "clone3({flags:number}|CLONE_INTO_CGROUP, {cgroup:slot})", "clone(2)"
    UNSHARE_FILES = "close_range(highest + 1, ~0, CLOSE_RANGE_UNSHARE)", "close_range(2)"
    DUP2 = "dup2(descriptors -> 0, 1, 2 ...)", "dup(2)"
    WRITE = "write({path:text}, {bytes:data})", "write(2)"
    KEEPCAPS = "prctl(PR_SET_KEEPCAPS, {keep:number})", "PR_SET_KEEPCAPS(2const)"
    AMBIENT = (
        "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, {capabilities:number})",
        "capabilities(7)",
    )
    EXECVEAT = "execveat(first_process, AT_EMPTY_PATH)", "execveat(2)"

    HAND_OVER = "open({path:text}, O_RDONLY|O_CLOEXEC)", "namespaces(7)"
    HAND_OVER_SOCKET = (
        "socket({domain:number}, {type:number}|SOCK_CLOEXEC, {protocol:number})",
        "socket(2)",
    )

    # How the box stands beside others, by its starter's rights.
    SCHED_SETAFFINITY = "sched_setaffinity(0, {mask:data})", "sched_setaffinity(2)"
    SCHED_SETSCHEDULER = (
        "sched_setscheduler(0, {policy:number}, {priority:number})",
        "sched_setscheduler(2)",
    )
    SETPRIORITY = "setpriority(PRIO_PROCESS, 0, {nice:number})", "getpriority(2)"
    IOPRIO_SET = "ioprio_set(IOPRIO_WHO_PROCESS, 0, {priority:number})", "ioprio_set(2)"
    SET_MEMPOLICY = "set_mempolicy({mode:number}, {nodes:data})", "set_mempolicy(2)"
    PERSONALITY = "personality({persona:number})", "personality(2)"

    # Before and after the machine is made: see await.c.
    CHILD_SUBREAPER = (
        "prctl(PR_SET_CHILD_SUBREAPER, {reaps:number})",
        "PR_SET_CHILD_SUBREAPER(2const)",
    )
    AWAIT = "{connection:into} = accept({listener:slot}), and a word from there", "accept(2)"

    # The machine of its own: run by the box's first process, in memory of its own.
    NOT_DUMPABLE = "prctl(PR_SET_DUMPABLE, 0)", "PR_SET_DUMPABLE(2const)"
    SETGROUPS = "setgroups({groups:data})", "setgroups(2)"
    SETRESGID = "setresgid({real:number}, {effective:number}, {saved:number})", "setresuid(2)"
    SETRESUID = "setresuid({real:number}, {effective:number}, {saved:number})", "setresuid(2)"
    SETNS = "setns({namespace:slot}<{file:shown}>, {type:number})", "setns(2)"
    SETNS_OWN = "setns(open({path:text}), {type:number})", "setns(2)"
    SETNS_MADE = "setns({maker:slot}, {type:number})", "setns(2)"
    UNSHARE = "unshare({flags:number})", "unshare(2)"
    SETHOSTNAME = "sethostname({name:text})", "sethostname(2)"
    SETDOMAINNAME = "setdomainname({name:text})", "setdomainname(2)"
    LOOPBACK_UP = 'ioctl(SIOCSIFFLAGS, "lo", IFF_UP)', "netdevice(7)"

    # The root file system.
    OPEN_TREE = "{tree:into} = open_tree({dir:slot}, {path:text}, {flags:number})", "open_tree(2)"
    OPEN_DEVICE = (
        "{tree:into} = open_tree({dir:slot}, {path:text}, OPEN_TREE_CLONE) "
        "of device {major:number}:{minor:number}",
        "open_tree(2)",
    )
    FSOPEN = "{context:into} = fsopen({type:text})", "fsopen(2)"
    FSCONFIG = "fsconfig({context:slot}, {command:number}, {key:text}, {value:text})", "fsconfig(2)"
    FSMOUNT = "{tree:into} = fsmount({context:slot}, {attributes:number})", "fsmount(2)"
    MOUNT_SETATTR = (
        "mount_setattr({dir:slot}, {path:text}, {flags:number}, {set:number}, {clear:number}, "
        "{propagation:number})",
        "mount_setattr(2)",
    )
    MAP_IDS = (
        "mount_setattr({tree:slot}, AT_RECURSIVE, MOUNT_ATTR_IDMAP, {namespace:slot})",
        "mount_setattr(2)",
    )
    MASK = (
        "{empty:into} = move_mount(/dev/null or an empty folder, {dir:slot}, {path:text})",
        "move_mount(2)",
    )
    MOVE_MOUNT = "move_mount({tree:slot}, {dir:slot}, {path:text})", "move_mount(2)"

    # The same where a kernel, or a filter, has only the calls from before; see rootfs/classic.py.
    # `stage` is where things are mounted before they are moved to their places.
    MOUNT = (
        "{tree:into} = mount({type:text}, {dir:slot}, {path:text}, {flags:number}, {options:text})",
        "mount(2)",
    )
    OPEN_PATH = "{found:into} = openat({dir:slot}, {path:text}, O_PATH)", "open(2)"
    BIND = (
        "{tree:into} = mount({dir:slot}, {path:text}, {stage:slot}, MS_BIND|{flags:number})",
        "mount(2)",
    )
    BIND_DEVICE = (
        "{tree:into} = mount({dir:slot}, {path:text}, {stage:slot}, MS_BIND) "
        "of device {major:number}:{minor:number}",
        "mount(2)",
    )
    REMOUNT = (
        "mount({dir:slot}, {path:text}, MS_REMOUNT|MS_BIND, {flags:number}, {set:number}, "
        "{clear:number}, {propagation:number})",
        "mount(2)",
    )
    MASK_BY_MOUNT = (
        "mount(/dev/null or an empty folder, {dir:slot}, {path:text}, {stage:slot}, MS_MOVE)",
        "mount(2)",
    )
    MOVE = "mount({tree:slot}, {dir:slot}, {path:text}, MS_MOVE)", "mount(2)"

    # Files in it, and the way into it.
    MKDIRAT = "mkdirat({dir:slot}, {path:text}, {mode:number})", "mkdir(2)"
    FCHOWNAT = (
        "fchownat({dir:slot}, {path:text}, owner of {folder:slot}, {original:text})",
        "chown(2)",
    )
    OPENAT = "openat({dir:slot}, {path:text}, O_CREAT, {mode:number}, {bytes:data})", "openat(2)"
    OPENAT_SECRET = (
        "openat({dir:slot}, {path:text}, O_CREAT, {mode:number}, {secret:data})",
        "openat(2)",
    )
    SYMLINKAT = "symlinkat({target:text}, {dir:slot}, {path:text})", "symlink(2)"
    MKNODAT = (
        "mknodat({dir:slot}, {path:text}, {mode:number}, {major:number}:{minor:number})",
        "mknod(2)",
    )
    COPY_TREE = "sendfile({path:text}/* -> {dir:slot}/tree), for {reason:shown}", "sendfile(2)"
    COPY_UP = (
        "sendfile({dir:slot}, {path:text}/* -> {tree:slot}), attributes: {own:number}",
        "sendfile(2)",
    )
    FCHDIR = "fchdir({dir:slot})", "fchdir(2)"
    PIVOT_ROOT = "pivot_root({new:text}, {old:text})", "pivot_root(2)"
    CHROOT = "chroot({path:text})", "chroot(2)"
    UMOUNT2 = "umount2({path:text}, {flags:number})", "umount(2)"
    CHDIR = "chdir({path:text})", "chdir(2)"

    # What the command may do, and how it begins.
    CAPBSET_DROP = "prctl(PR_CAPBSET_DROP, {capabilities:number})", "capabilities(7)"
    CAPSET = "capset({capabilities:number})", "capset(2)"
    NO_NEW_PRIVS = "prctl(PR_SET_NO_NEW_PRIVS, 1)", "prctl(2)"
    SEND_PIDFD = "sendmsg({socket:slot}, pidfd_open(getpid()))", "pidfd_open(2)"
    PARK = "recvmsg({socket:slot}) -> 0, 1, 2", "unix(7)"
    CLONE_VM = "clone3(CLONE_VM|CLONE_CHILD_CLEARTID)", "clone(2)"
    SETSID = "setsid()", "setsid(2)"
    SETPGID = "setpgid(0, 0)", "setpgid(2)"
    UMASK = "umask({mode:number})", "umask(2)"
    TERMINAL = "ioctl(/dev/pts/ptmx, TIOCGPTPEER) -> {socket:slot}", "ioctl_tty(2)"
    WINDOW_SIZE = "ioctl(0, TIOCSWINSZ, {rows:number}, {columns:number})", "ioctl_tty(2)"
    CONTROLLING_TERMINAL = "ioctl(0, TIOCSCTTY)", "ioctl_tty(2)"
    PASS = "dup2({numbers:data})", "dup(2)"
    SIGNALS = "rt_sigaction(SIG_DFL), rt_sigprocmask(SIG_SETMASK, [])", "signal(7)"
    CLOSE_RANGE = "close_range({first:number}, ~0, {flags:number})", "close_range(2)"
    PRLIMIT = "prlimit(0, {resource:number}, {soft:number}, {hard:number})", "getrlimit(2)"
    LANDLOCK_CREATE_RULESET = (
        "{ruleset:into} = landlock_create_ruleset({files:number}, {scopes:number})",
        "landlock_create_ruleset(2)",
    )
    LANDLOCK_ADD_RULE = (
        "landlock_add_rule({ruleset:slot}, {path:text}, {rights:number})",
        "landlock_add_rule(2)",
    )
    LANDLOCK_RESTRICT_SELF = (
        "landlock_restrict_self({ruleset:slot})",
        "landlock_restrict_self(2)",
    )
    JOIN_SESSION_KEYRING = "keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)", "keyctl(2)"
    LABEL = (
        "lsm_set_self_attr(LSM_ATTR_EXEC, {module:number}, {label:text})",
        "lsm_set_self_attr(2)",
    )
    SECCOMP = "seccomp(SECCOMP_SET_MODE_FILTER, {program:data})", "seccomp(2)"
    SECCOMP_NOTIFY = (
        "seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, {program:data}) "
        "-> {socket:slot}",
        "seccomp_unotify(2)",
    )
    EXECVE = "execve({file:shown}, {argv:shown})", "execve(2)"
    EXECVE_PATH = "execve({path:text}, {argv:shown})", "execve(2)"

    # In the place of another step, for tests: `Lowered.failing`.
    FAIL = "fail({errno:number})", "errno(3)"

    def __init__(self, template: str, reference: str) -> None:
        self.template = template
        self.reference = reference
        self.syscall = template.partition(" = ")[2].partition("(")[0] or template.partition("(")[0]
        self.operands = tuple(_OPERAND.findall(template))

    @property
    def code(self) -> int:
        """Its number in an encoded plan and in the C enumeration."""
        return _CODES[self]


_CODES = {operation: code for code, operation in enumerate(Operation)}


def c_header() -> str:
    """The enumeration that ``steps.c`` switches over."""
    members = "".join(f"    OP_{operation.name},\n" for operation in Operation)
    return f"/* Generated from operations.py. */\nenum operation {{\n{members}}};\n"
