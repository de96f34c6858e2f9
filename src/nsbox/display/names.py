"""How tasks are called."""


def command_name(pid: int) -> str:
    """Return a task's name as the kernel has it, "gone" where it has ended: proc_pid_comm(5)."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return "gone"
