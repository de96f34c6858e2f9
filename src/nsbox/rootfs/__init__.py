"""Root file systems: what a box takes for ``/``."""

from nsbox.rootfs.mount import Mount
from nsbox.rootfs.root import RootFS

__all__ = ["Mount", "RootFS"]
