"""What an executor's workers are like, as a value."""

import os
import sys
from collections.abc import Iterable
from typing import Any, Literal, get_args

import attrs

from nsbox.executor.carry import Results, has_cloudpickle
from nsbox.executor.inside import Head
from nsbox.fields import StrPath, instance_of, text_path
from nsbox.namespace import Choice, NamespaceType
from nsbox.pipes import Stream
from nsbox.pool import Pool
from nsbox.sizes import size_in_bytes
from nsbox.spec import BoxSpec

Isolation = Literal["box", "process", "none"]
"""What a call shares with no other call: its box, its process, or nothing."""

_OWN_FOLDERS = {"/tmp": "/tmp", "/dev": "/dev/shm"}
"""The mounts that every box has of its own, and the folder of each that anybody may write to."""

_LONGEST = (1 << 31) // 1000
"""The seconds that a socket can wait for at most: poll(2) takes milliseconds as an int."""


def _one_of(kinds: Any) -> Any:
    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value not in get_args(kinds):
            raise ValueError(f"{attribute.name}: one of {get_args(kinds)}, not {value!r}")

    return check


def _names(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise ValueError(f"preload: names of modules, such as ({value!r},)")
    return tuple(value)


def _size(value: int | str | None) -> int | None:
    return None if value is None else size_in_bytes(value, "memory_max or output_max")


def _seconds(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and not (isinstance(value, int | float) and 0 < value <= _LONGEST):
        reason = f"seconds, above 0 and up to {_LONGEST}, or None for no end"
        raise ValueError(f"{attribute.name}: {reason}; not {value!r}")


def _python(value: StrPath | None) -> str | None:
    return None if value is None else text_path(value, "python")


@attrs.frozen(kw_only=True)
class Settings:
    """The parameters of `BoxExecutor` that its workers go by."""

    spec: BoxSpec = attrs.field(validator=instance_of(BoxSpec))
    isolation: Isolation = attrs.field(default="process", validator=_one_of(Isolation))
    preload: tuple[str, ...] = attrs.field(default=(), converter=_names)
    timeout: float | None = attrs.field(default=None, validator=_seconds)
    memory_max: int | None = attrs.field(default=None, converter=_size)
    output_max: int | None = attrs.field(default=None, converter=_size)
    results: Results = attrs.field(default="pickle", validator=_one_of(Results))
    python: str | None = attrs.field(default=None, converter=_python)
    stdout: Stream = None
    stderr: Stream = None
    cgroup: Any = None
    pool: Pool | None = attrs.field(default=None, validator=instance_of(Pool, or_none=True))

    def __attrs_post_init__(self) -> None:
        """Refuse a spec in which a worker could not end what its calls leave."""
        self._check_pool()
        own_pids = self.spec.namespaces.get(NamespaceType.PID) is Choice.NEW and self.spec.init
        if self.isolation == "process" and not own_pids:
            raise ValueError(
                "isolation: 'process' takes a spec with init and a pid namespace that is "
                "Choice.NEW, in which all that a call leaves can be ended"
            )

    def _check_pool(self) -> None:
        if self.pool is None:
            return
        if self.spec != self.pool.spec:
            raise ValueError("spec: that of a pool's boxes is the pool's")
        if self.cgroup is not None:
            raise ValueError("cgroup: that of a pool's boxes is the pool's")
        if self.pool.stays:
            raise ValueError("pool: one that stays has no boxes for workers, which are commands")

    @property
    def interpreter(self) -> str:
        """The program that runs in the box."""
        return self.python or sys.executable

    @property
    def forks(self) -> bool:
        """Whether a worker forks for each call."""
        return self.isolation == "process"

    def first_message(self, nursery: int = 0) -> Head:
        """Return what a worker is told at its start; how many namespaces its calls are given."""
        here = [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str)]
        return {
            "forks": self.forks,
            "nursery": nursery,
            "path": here if self.python is None else None,  # another one has other packages
            "preload": self.preload,
            "memory": self.memory_max,
            "cloudpickle": self.results == "pickle" and has_cloudpickle(),
            "clean": self._own_folders() if self.forks and not nursery else [],
        }

    def _own_folders(self) -> list[str]:
        """List the folders that are emptied after each call: nothing of the host's is in them."""
        if self.spec.namespaces.get(NamespaceType.MNT) is not Choice.NEW:
            return []
        targets = [mount.target for mount in self.spec.rootfs.mounts]
        return [
            folder
            for mount, folder in _OWN_FOLDERS.items()
            if not any(_overlap(mount, target) for target in targets)
        ]


def _overlap(mount: str, target: str) -> bool:
    return target == mount or target.startswith(f"{mount}/")
