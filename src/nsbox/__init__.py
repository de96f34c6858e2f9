r"""Linux namespaces, cgroups and root file systems as Python objects: a machine of its own.

Start with `run`, which is `subprocess.run` with the command in a box of its own, and `BoxSpec`,
which says what the box is like::

    >>> import nsbox
    >>> spec = nsbox.BoxSpec(hostname="node1")
    >>> nsbox.run(["hostname"], spec, capture_output=True, text=True).stdout
    'node1\n'
"""

import sys

if not sys.platform.startswith("linux"):
    raise ImportError(
        "nsbox needs Linux, whose namespaces and cgroups it is made of; on this system "
        f"({sys.platform}) a Linux virtual machine such as WSL 2 or Lima serves"
    )

from typing import TYPE_CHECKING, Any

from nsbox import _native as _native  # an installation without its C is told of at once

if TYPE_CHECKING:
    from nsbox import aio as aio
    from nsbox import network as network
    from nsbox import oci as oci
    from nsbox.box import Box
    from nsbox.boxpath import BoxPath
    from nsbox.cgroup import DeviceRule, IOMax, RDMAMax, Resources
    from nsbox.cgroup.cgroup import Cgroup
    from nsbox.cgroup.hierarchy import Hierarchy, Subsystem, hierarchies, subsystems
    from nsbox.cgroup.meter import Meter
    from nsbox.cgroup.stats import Stats
    from nsbox.errors import (
        ImageError,
        NsboxError,
        OutputExceeded,
        RemoteError,
        StepError,
        UnsupportedError,
        WorkerDied,
    )
    from nsbox.executor import BoxExecutor, BoxFuture
    from nsbox.fleet import Fleet, FleetStats
    from nsbox.host import HostReport, probe
    from nsbox.image import Image
    from nsbox.memory_policy import MemoryPolicy
    from nsbox.namespace import (
        ISOLATED,
        Choice,
        IDMap,
        Namespace,
        NamespaceType,
        TimeOffsets,
        namespaces,
        unpin,
    )
    from nsbox.pipes import DEVNULL, PIPE, STDOUT
    from nsbox.plan import Plan, Step
    from nsbox.pool import Pool
    from nsbox.process import Process
    from nsbox.reaping import reap
    from nsbox.rootfs import Mount, RootFS
    from nsbox.running import popen, run
    from nsbox.security import Argument, FilterProgram, Landlock, Rule, Seccomp, Security
    from nsbox.spec import BoxSpec
    from nsbox.task import Task
    from nsbox.usage import CompletedProcess, Usage
    from nsbox.watching import Watch, watch

__all__ = [
    "Argument",
    "Box",
    "BoxExecutor",
    "BoxFuture",
    "BoxPath",
    "BoxSpec",
    "Cgroup",
    "Choice",
    "CompletedProcess",
    "DeviceRule",
    "DEVNULL",
    "FilterProgram",
    "Fleet",
    "FleetStats",
    "hierarchies",
    "Hierarchy",
    "HostReport",
    "IDMap",
    "Image",
    "ImageError",
    "IOMax",
    "ISOLATED",
    "Landlock",
    "MemoryPolicy",
    "Meter",
    "Mount",
    "Namespace",
    "namespaces",
    "NamespaceType",
    "NsboxError",
    "OutputExceeded",
    "PIPE",
    "Plan",
    "Pool",
    "popen",
    "probe",
    "Process",
    "RDMAMax",
    "reap",
    "RemoteError",
    "Resources",
    "RootFS",
    "Rule",
    "run",
    "Seccomp",
    "Security",
    "Stats",
    "STDOUT",
    "Step",
    "StepError",
    "Subsystem",
    "subsystems",
    "Task",
    "TimeOffsets",
    "unpin",
    "UnsupportedError",
    "Usage",
    "watch",
    "Watch",
    "WorkerDied",
]

_HOMES = {
    "nsbox.box": ("Box",),
    "nsbox.boxpath": ("BoxPath",),
    "nsbox.cgroup": ("DeviceRule", "IOMax", "RDMAMax", "Resources"),
    "nsbox.cgroup.cgroup": ("Cgroup",),
    "nsbox.cgroup.hierarchy": ("Hierarchy", "Subsystem", "hierarchies", "subsystems"),
    "nsbox.cgroup.meter": ("Meter",),
    "nsbox.cgroup.stats": ("Stats",),
    "nsbox.errors": (
        "ImageError",
        "NsboxError",
        "OutputExceeded",
        "RemoteError",
        "StepError",
        "UnsupportedError",
        "WorkerDied",
    ),
    "nsbox.executor": ("BoxExecutor", "BoxFuture"),
    "nsbox.fleet": ("Fleet", "FleetStats"),
    "nsbox.host": ("HostReport", "probe"),
    "nsbox.image": ("Image",),
    "nsbox.memory_policy": ("MemoryPolicy",),
    "nsbox.namespace": (
        "ISOLATED",
        "Choice",
        "IDMap",
        "Namespace",
        "NamespaceType",
        "TimeOffsets",
        "namespaces",
        "unpin",
    ),
    "nsbox.pipes": ("DEVNULL", "PIPE", "STDOUT"),
    "nsbox.plan": ("Plan", "Step"),
    "nsbox.pool": ("Pool",),
    "nsbox.process": ("Process",),
    "nsbox.reaping": ("reap",),
    "nsbox.rootfs": ("Mount", "RootFS"),
    "nsbox.running": ("popen", "run"),
    "nsbox.security": ("Argument", "FilterProgram", "Landlock", "Rule", "Seccomp", "Security"),
    "nsbox.spec": ("BoxSpec",),
    "nsbox.task": ("Task",),
    "nsbox.usage": ("CompletedProcess", "Usage"),
    "nsbox.watching": ("Watch", "watch"),
}
"""Where each name comes from. Modules load when one of theirs is first used: see PEP 562."""

_LAZY = {name: module for module, names in _HOMES.items() for name in names}

_SUBMODULES = frozenset({"aio", "dask", "network", "oci"})
"""Modules that are reached as attributes, without an import of their own."""


def __getattr__(name: str) -> Any:
    import importlib  # noqa: PLC0415

    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"nsbox.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_SUBMODULES})
