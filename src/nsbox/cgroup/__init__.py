"""Cgroups: the division of a host's means. See cgroups(7)."""

from nsbox.cgroup.resources import DeviceRule, IOMax, RDMAMax, Resources

__all__ = ["DeviceRule", "IOMax", "RDMAMax", "Resources"]
