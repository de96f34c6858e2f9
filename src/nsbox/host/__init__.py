"""What this kernel and host can do for this caller; and where they cannot, what would help.

    >>> print(nsbox.probe())                                       # doctest: +SKIP
    yes  kernel           Linux 6.8.0-45-generic
    yes  namespaces       cgroup, ipc, mnt, net, pid, time, user, uts
    no   user namespaces  refused to this caller
         reason: AppArmor takes the privileges from unconfined programs' user namespaces (…)
         remedy: an AppArmor profile with `userns,` for the program, or: sysctl -w …

Looking changes nothing: files are read, and system calls are asked with arguments that no kernel
takes. What is found is a value, so that a program can store or send it.
"""

from nsbox.host.cgroups import CgroupHierarchy, CgroupReport
from nsbox.host.finding import Finding, Obstacle
from nsbox.host.host import Host
from nsbox.host.kernel import KernelReport
from nsbox.host.report import HostReport, report
from nsbox.host.system_calls import LandlockReport

__all__ = [
    "CgroupHierarchy",
    "CgroupReport",
    "Finding",
    "HostReport",
    "KernelReport",
    "LandlockReport",
    "Obstacle",
    "probe",
]


def probe() -> HostReport:
    """Find out what this host can do for the calling thread: it only reads, and never forks.

    A file that cannot be read or understood is a fact unknown, and never an exception.
    """
    return report(Host.here())
