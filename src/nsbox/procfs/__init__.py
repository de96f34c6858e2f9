r"""What the kernel writes in `/proc`, as values: text in, frozen tuples out, no I/O.

Three habits of the kernel shape every parser here. It escapes as little as it must, so a name may
hold any other byte: lines end at "\n" alone and fields at the one character the manual names
(`str.splitlines` and a bare `str.split` would also cut at a form feed or a Unicode space). Names
are bytes, and `decode` loses none of them. And a field may be empty, as a mount's source is.

A text that breaks its format raises `ValueError` with the line and what was expected there; what
newer kernels add in the places kept for additions is passed over.
"""

from nsbox.procfs._lines import decode
from nsbox.procfs.cgroup_mounts import shown_at, shows
from nsbox.procfs.cgroups import CgroupMembership, Controller, parse_cgroup, parse_controllers
from nsbox.procfs.ids import IDMapLine, SubID, parse_id_map, parse_subid
from nsbox.procfs.mounts import MountInfo, parse_filesystems, parse_mountinfo
from nsbox.procfs.tasks import Ids, Stat, Status, parse_stat, parse_status

__all__ = [
    "CgroupMembership",
    "Controller",
    "IDMapLine",
    "Ids",
    "MountInfo",
    "Stat",
    "Status",
    "SubID",
    "decode",
    "parse_cgroup",
    "parse_controllers",
    "parse_filesystems",
    "parse_id_map",
    "parse_mountinfo",
    "parse_stat",
    "parse_status",
    "parse_subid",
    "shown_at",
    "shows",
]
