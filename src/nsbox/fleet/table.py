"""What many boxes use, as one table."""

from collections.abc import Iterator
from typing import Any

import attrs

from nsbox.cgroup.stats import Stats
from nsbox.display import Printed
from nsbox.frozen import FrozenMap
from nsbox.sizes import readable

_HEAD = ("", "name", "state", "memory", "peak", "CPU s", "tasks")


@attrs.frozen(kw_only=True)
class FleetRow:
    """One box of a fleet: its place in it, its host name, whether it is alive, what it uses.

    `state` is ``"alive"``, ``"ended"`` or ``"failed"`` (it could not be started); `stats` has no
    parts where nothing is told: the box has ended, or no group was made for it.
    """

    place: int
    name: str | None
    state: str
    stats: Stats = Stats()

    @property
    def cells(self) -> tuple[str, ...]:
        """The line of a table that people read."""
        parts = self.stats.parts
        memory, cpu, pids = (parts.get(name) for name in ("memory", "cpu", "pids"))
        return (
            str(self.place),
            self.name or "",
            self.state,
            "" if memory is None else readable(memory.current),
            "" if memory is None or memory.peak is None else readable(memory.peak),
            "" if cpu is None else f"{cpu.usage_seconds:.2f}",
            "" if pids is None else str(pids.current),
        )


@attrs.frozen
class FleetStats(Printed):
    """What the boxes of a fleet use, a row each. A value; `print` and notebooks show a table."""

    rows: tuple[FleetRow, ...] = ()

    @property
    def total(self) -> Stats:
        """All of them added up, as `Stats.sum` does."""
        return Stats.sum(row.stats for row in self.rows)

    def records(self) -> list[dict[str, Any]]:
        """Return a flat dict of each row, for ``pandas.DataFrame`` or `csv.DictWriter`.

        Figures are named by subsystem and field, such as ``"memory.current"``; what this host does
        not tell is left out.
        """
        return [
            {"place": row.place, "name": row.name, "state": row.state, **_flat(row.stats)}
            for row in self.rows
        ]

    @property
    def head(self) -> tuple[str, ...]:
        """The headings of the table that people read."""
        return _HEAD

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[FleetRow]:
        return iter(self.rows)

    def __str__(self) -> str:
        lines = [_HEAD, *(row.cells for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if number in (1, 2) else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )


def _flat(stats: Stats) -> dict[str, Any]:
    return {
        f"{name}.{field.name}": value
        for name, part in stats.parts.items()
        for field in attrs.fields(type(part))
        if not isinstance(value := getattr(part, field.name), FrozenMap)
        and value is not None
        and not attrs.has(type(value))
    }
