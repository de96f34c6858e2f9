"""What lives in a box, as a command there sees it."""

LOOK = ("sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null; :")
"""The command; those that are dead and not yet waited for are listed by it, too."""


def living(stats: str) -> list[str]:
    """Return the names of those that `LOOK` lists and that are not dead. See proc_pid_stat(5)."""
    found = []
    for line in stats.splitlines():
        name, _, rest = line.partition("(")[2].rpartition(") ")
        if rest[0] not in "ZX":
            found.append(name)
    return found
