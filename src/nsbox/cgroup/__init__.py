"""Cgroups: the division of a host's means. See cgroups(7)."""

from nsbox.cgroup.resources import Resources

__all__ = ["Resources"]
