"""The younger system calls: which Linux brought each, and which the caller has. See syscalls(2)."""

import errno

from nsbox import _native

SINCE = {
    "clone3": (5, 3),
    "close_range": (5, 9),
    "fsconfig": (5, 2),
    "fsmount": (5, 2),
    "fsopen": (5, 2),
    "landlock_create_ruleset": (5, 13),
    "mount_setattr": (5, 12),
    "move_mount": (5, 2),
    "open_tree": (5, 2),
    "openat2": (5, 6),
    "seccomp": (3, 17),
}
"""The first Linux that has a system call."""

MOUNT_CALLS = ("fsopen", "open_tree", "move_mount", "mount_setattr")
"""Those that make mounts by descriptors; who lets these through lets through their kin."""

# These look at the caller's privileges before its arguments, so their EPERM tells of no filter;
# a filter that keeps the others from the caller keeps these too.
_PRIVILEGE_FIRST = frozenset({"fsopen", "move_mount"})


def is_refused(call: str, answer: int) -> bool:
    """Tell whether the answer to impossible arguments means that a filter keeps the call."""
    return answer == -errno.EPERM and call not in _PRIVILEGE_FIRST


def lacks_mount_calls() -> bool:
    """Whether the kernel, or a seccomp filter, leaves this caller with mount(2) alone."""
    answers = {call: _native.ask(call) for call in MOUNT_CALLS}
    return any(
        answer == -errno.ENOSYS or is_refused(call, answer) for call, answer in answers.items()
    )
