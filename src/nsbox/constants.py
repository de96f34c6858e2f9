"""The kernel's flags under the kernel's names; a test holds their values against its headers."""

import enum

AT_FDCWD = -100


class CloneFlag(enum.IntFlag):
    """clone(2)."""

    CLONE_NEWTIME = 0x00000080
    CLONE_FS = 0x00000200
    CLONE_NEWNS = 0x00020000
    CLONE_NEWCGROUP = 0x02000000
    CLONE_NEWUTS = 0x04000000
    CLONE_NEWIPC = 0x08000000
    CLONE_NEWUSER = 0x10000000
    CLONE_NEWPID = 0x20000000
    CLONE_NEWNET = 0x40000000


class NamespaceRequest(enum.IntEnum):
    """ioctl_nsfs(2)."""

    NS_GET_USERNS = 0xB701
    NS_GET_PARENT = 0xB702
    NS_GET_NSTYPE = 0xB703
    NS_GET_OWNER_UID = 0xB704


class MountAttribute(enum.IntFlag):
    """mount_setattr(2)."""

    MOUNT_ATTR_RDONLY = 0x1
    MOUNT_ATTR_NOSUID = 0x2
    MOUNT_ATTR_NODEV = 0x4
    MOUNT_ATTR_NOEXEC = 0x8


class Propagation(enum.IntFlag):
    """mount_namespaces(7)."""

    MS_PRIVATE = 1 << 18
    MS_SLAVE = 1 << 19
    MS_SHARED = 1 << 20


class AtFlag(enum.IntFlag):
    """open_tree(2), mount_setattr(2)."""

    OPEN_TREE_CLONE = 0x1
    AT_EMPTY_PATH = 0x1000
    AT_RECURSIVE = 0x8000


class ConfigCommand(enum.IntEnum):
    """fsconfig(2)."""

    FSCONFIG_SET_FLAG = 0
    FSCONFIG_SET_STRING = 1
    FSCONFIG_CMD_CREATE = 6


class UnmountFlag(enum.IntFlag):
    """umount(2)."""

    MNT_DETACH = 2
    UMOUNT_NOFOLLOW = 8


class LandlockAccess(enum.IntFlag):
    """landlock(7), "Filesystem actions"."""

    LANDLOCK_ACCESS_FS_EXECUTE = 1 << 0
    LANDLOCK_ACCESS_FS_WRITE_FILE = 1 << 1
    LANDLOCK_ACCESS_FS_READ_FILE = 1 << 2
    LANDLOCK_ACCESS_FS_READ_DIR = 1 << 3
    LANDLOCK_ACCESS_FS_REMOVE_DIR = 1 << 4
    LANDLOCK_ACCESS_FS_REMOVE_FILE = 1 << 5
    LANDLOCK_ACCESS_FS_MAKE_CHAR = 1 << 6
    LANDLOCK_ACCESS_FS_MAKE_DIR = 1 << 7
    LANDLOCK_ACCESS_FS_MAKE_REG = 1 << 8
    LANDLOCK_ACCESS_FS_MAKE_SOCK = 1 << 9
    LANDLOCK_ACCESS_FS_MAKE_FIFO = 1 << 10
    LANDLOCK_ACCESS_FS_MAKE_BLOCK = 1 << 11
    LANDLOCK_ACCESS_FS_MAKE_SYM = 1 << 12
    LANDLOCK_ACCESS_FS_REFER = 1 << 13
    LANDLOCK_ACCESS_FS_TRUNCATE = 1 << 14
    LANDLOCK_ACCESS_FS_IOCTL_DEV = 1 << 15


class LandlockScope(enum.IntFlag):
    """landlock(7), "Scope flags"."""

    LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0
    LANDLOCK_SCOPE_SIGNAL = 1 << 1


class CloseRangeFlag(enum.IntFlag):
    """close_range(2)."""

    CLOSE_RANGE_CLOEXEC = 4


class Capability(enum.IntFlag):
    """capabilities(7), as a mask: each member is 1 << its number."""

    CAP_CHOWN = 1 << 0
    CAP_DAC_OVERRIDE = 1 << 1
    CAP_DAC_READ_SEARCH = 1 << 2
    CAP_FOWNER = 1 << 3
    CAP_FSETID = 1 << 4
    CAP_KILL = 1 << 5
    CAP_SETGID = 1 << 6
    CAP_SETUID = 1 << 7
    CAP_SETPCAP = 1 << 8
    CAP_LINUX_IMMUTABLE = 1 << 9
    CAP_NET_BIND_SERVICE = 1 << 10
    CAP_NET_BROADCAST = 1 << 11
    CAP_NET_ADMIN = 1 << 12
    CAP_NET_RAW = 1 << 13
    CAP_IPC_LOCK = 1 << 14
    CAP_IPC_OWNER = 1 << 15
    CAP_SYS_MODULE = 1 << 16
    CAP_SYS_RAWIO = 1 << 17
    CAP_SYS_CHROOT = 1 << 18
    CAP_SYS_PTRACE = 1 << 19
    CAP_SYS_PACCT = 1 << 20
    CAP_SYS_ADMIN = 1 << 21
    CAP_SYS_BOOT = 1 << 22
    CAP_SYS_NICE = 1 << 23
    CAP_SYS_RESOURCE = 1 << 24
    CAP_SYS_TIME = 1 << 25
    CAP_SYS_TTY_CONFIG = 1 << 26
    CAP_MKNOD = 1 << 27
    CAP_LEASE = 1 << 28
    CAP_AUDIT_WRITE = 1 << 29
    CAP_AUDIT_CONTROL = 1 << 30
    CAP_SETFCAP = 1 << 31
    CAP_MAC_OVERRIDE = 1 << 32
    CAP_MAC_ADMIN = 1 << 33
    CAP_SYSLOG = 1 << 34
    CAP_WAKE_ALARM = 1 << 35
    CAP_BLOCK_SUSPEND = 1 << 36
    CAP_AUDIT_READ = 1 << 37
    CAP_PERFMON = 1 << 38
    CAP_BPF = 1 << 39
    CAP_CHECKPOINT_RESTORE = 1 << 40
