"""By what a process's rights can be compared."""

FIELDS = [
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Uid",
    "Gid",
    "Groups",
    "Umask",
]
"""Of ``/proc/PID/status``, see proc_pid_status(5)."""
