"""What boxed calls cost, told to Dask's scheduler and read by its client."""

import time
from collections.abc import Mapping
from typing import Any

import attrs

from nsbox.cgroup import Resources
from nsbox.frozen import FrozenMap
from nsbox.spec import BoxSpec
from nsbox.usage import Usage

TOPIC = "nsbox"
"""The topic of the events that workers log."""


@attrs.frozen(kw_only=True)
class Report:
    """One boxed call: where it ran, under which limits, what it cost, how it ended.

    `limits` are those that were set, of `Resources` and of `BoxExecutor`, by name. `usage` is None
    where the call's box ended before it could tell; `error` is the kind of what it raised.
    """

    key: str
    worker: str
    limits: FrozenMap[str, Any]
    usage: Usage | None
    error: str | None
    time: float


def event(
    spec: BoxSpec, settings: Mapping[str, Any], usage: Usage | None, error: BaseException | None
) -> dict[str, Any]:
    """Return what a worker tells of a call, as the plain values that Dask sends."""
    limits = {
        field.name: getattr(spec.resources, field.name)
        for field in attrs.fields(Resources)
        if getattr(spec.resources, field.name) != field.default
    }
    limits |= {name: settings[name] for name in ("memory_max", "timeout") if name in settings}
    return {
        "limits": {name: _plain(value) for name, value in limits.items()},
        "usage": None if usage is None else attrs.asdict(usage),
        "error": None if error is None else type(error).__name__,
        "time": time.time(),
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else str(value)


def reports(client: Any) -> list[Report]:
    """Return what the workers of a `distributed.Client` told of the boxed calls that ended so far.

    They are in the order of their arrival at the scheduler, which keeps the last of them:
    ``distributed.admin.event-log-size`` many. Of an asynchronous client, which gives nothing
    without being awaited, take `parse` of its own ``get_events(TOPIC)``.
    """
    return parse(client.get_events(TOPIC))


def parse(events: Any) -> list[Report]:
    """Read the events of `TOPIC`: pairs of a time and what was told."""
    return [
        Report(
            key=str(told["key"]),
            worker=str(told["worker"]),
            limits=FrozenMap(told["limits"]),
            usage=None if told["usage"] is None else Usage(**told["usage"]),
            error=told["error"],
            time=told["time"],
        )
        for _, told in events
    ]
