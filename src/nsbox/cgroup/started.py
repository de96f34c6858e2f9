"""When a process began, as all readers tell it the same: field 22 of ``stat`` in proc_pid_stat(5).

The kernel shifts the field by the boot time of the reader's time namespace: see time_namespaces(7).
"""

import os
import time

from nsbox import procfs

_FIRST_TIME_NAMESPACE = 4026531834  # PROC_TIME_INIT_INO, fixed in the kernel's headers
_BOOTTIME = ("boottime", str(time.CLOCK_BOOTTIME))  # a number before Linux 5.7


def at(stat: procfs.Stat) -> int | None:
    """Return the clock ticks after the host's boot, give or take one, of what was read just now.

    None where the caller cannot know its own offset: it is about to have another.
    """
    offset = _offset()
    return None if offset is None else stat.starttime - offset


def _offset() -> int | None:
    """Return the caller's offset in clock ticks; the file shows that of its children to be."""
    try:
        own = os.stat("/proc/self/ns/time").st_ino
        if own == _FIRST_TIME_NAMESPACE:
            return 0
        if own != os.stat("/proc/self/ns/time_for_children").st_ino:
            return None
        with open("/proc/self/timens_offsets", encoding="ascii") as file:
            clocks = {name: (int(s), int(ns)) for name, s, ns in map(str.split, file)}
    except FileNotFoundError:  # before Linux 5.6 there is but one
        return 0
    seconds, nanoseconds = next(clocks[name] for name in _BOOTTIME if name in clocks)
    return (seconds * 10**9 + nanoseconds) * os.sysconf("SC_CLK_TCK") // 10**9
