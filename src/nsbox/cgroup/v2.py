"""cgroup v2: which file takes which value. See Documentation/admin-guide/cgroup-v2.rst."""

from nsbox.cgroup.resources import Resources

JOIN = "cgroup.procs"

CPU_PERIOD = 100_000


def writes(resources: Resources) -> dict[str, list[tuple[str, str]]]:
    """Lower limits to the files of each controller that they concern."""
    lowered: dict[str, list[tuple[str, str]]] = {}
    if resources.memory_max is not None:
        lowered["memory"] = [("memory.max", str(resources.memory_max))]
    if resources.cpu_max is not None:
        lowered["cpu"] = [("cpu.max", f"{round(resources.cpu_max * CPU_PERIOD)} {CPU_PERIOD}")]
    if resources.pids_max is not None:
        lowered["pids"] = [("pids.max", str(resources.pids_max))]
    return lowered
