"""cgroup v1: which file takes which value. See Documentation/admin-guide/cgroup-v1/."""

from nsbox.cgroup.resources import Resources

JOIN = "tasks"
"""Writing "0" here moves just the writing thread, which costs far less than ``cgroup.procs``."""

CPU_PERIOD = 100_000


def writes(resources: Resources) -> dict[str, list[tuple[str, str]]]:
    """Lower limits to the files of each subsystem that they concern."""
    lowered: dict[str, list[tuple[str, str]]] = {}
    if resources.memory_max is not None:
        lowered["memory"] = [("memory.limit_in_bytes", str(resources.memory_max))]
    if resources.cpu_max is not None:
        quota = round(resources.cpu_max * CPU_PERIOD)
        lowered["cpu"] = [("cpu.cfs_period_us", str(CPU_PERIOD)), ("cpu.cfs_quota_us", str(quota))]
    if resources.pids_max is not None:
        lowered["pids"] = [("pids.max", str(resources.pids_max))]
    return lowered
