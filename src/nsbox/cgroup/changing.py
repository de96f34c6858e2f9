"""Changing the limits of a group that exists: all that are given, or none."""

import contextlib
from typing import Any

from nsbox._native.operations import Operation
from nsbox.cgroup import controllers, delegation, making, performing, reading
from nsbox.cgroup.controllers import cpuset
from nsbox.cgroup.finding import Span, Spans
from nsbox.cgroup.resources import IOMax, Resources
from nsbox.errors import NsboxError, UnsupportedError
from nsbox.plan import Step

_TOGETHER = ({"memory_max", "memory_swap_max"}, {"cpu_weight", "cpu_idle"})
"""Fields of which one changes with the other: v1's swap, the weight of what is idle no longer."""

_NO_LIMIT = {
    "io_max": IOMax(rbps="max", wbps="max", riops="max", wiops="max"),
    "io_latency": 0,
}
"""By device, and not told of those that have none."""

_LISTS = ("cpuset_cpus", "cpuset_mems")


def change(spans: Spans, wish: Resources, present: Resources) -> None:
    """Write the limits that are given; if one is refused, put back those that were there.

    Raises `UnsupportedError` before anything is touched where the group is in no hierarchy of a
    limit's subsystem, or its version cannot do it.
    """
    spans = _with_devices(spans, wish)
    for controller in controllers.needed(wish):
        if not any(controller.NAMES[h.version] in span.names for h, span in spans.items()):
            field = next(field for field in controller.FIELDS if field in wish.given)
            for hierarchy in spans:
                controllers.lower(controller, hierarchy.version, wish)  # may say why not at all
            raise UnsupportedError(
                f"{field}: this group was made without the {controller.NAMES[2]} subsystem"
            )
    steps, fields = _steps(spans, wish, present)
    try:
        performing.perform(steps, fields.get)
    except (NsboxError, OSError):
        _restore(spans, wish, present)
        raise


def before(wish: Resources, present: Resources) -> Resources:
    """Return what undoes a wish: the values that were there of all that it may have changed."""
    given = set(wish.given)
    for together in _TOGETHER:
        if given & together:
            given |= together
    values: dict[str, Any] = {name: getattr(present, name) for name in given}
    for field, none in _NO_LIMIT.items():
        if field in given:
            values[field] = {**dict.fromkeys(getattr(wish, field), none), **(values[field] or {})}
    return Resources(**values)


def _restore(spans: Spans, wish: Resources, present: Resources) -> None:
    """Put back what was there, as far as the kernel takes it: one refusal does not stop the rest.

    The order of some writes depends on how far the wish has come, which is read.
    """
    with contextlib.suppress(NsboxError, OSError, ValueError):
        folders = {hierarchy: span.folder for hierarchy, span in spans.items()}
        names = frozenset[str]().union(*(span.names for span in spans.values()))
        reached = reading.resources(reading.Folders.of(folders, names).readers())
        steps, fields = _steps(spans, before(wish, present), reached)
        for step in [*steps, *_emptied(spans, wish, present)]:
            with contextlib.suppress(NsboxError, OSError):
                performing.perform([step], fields.get)


def _emptied(spans: Spans, wish: Resources, present: Resources) -> list[Step]:
    """Empty the lists of v2 that were empty, which no value says."""
    lists = [f for f in _LISTS if f in wish.given and getattr(present, f) is None]
    return [
        cpuset.as_above(field).step(span.folder)
        for hierarchy, span in spans.items()
        if hierarchy.version == 2 and cpuset.NAMES[2] in span.names
        for field in lists
    ]


def _with_devices(spans: Spans, wish: Resources) -> Spans:
    """Have v2 see to the devices of a group that is in no hierarchy of v1 for them."""
    name = controllers.devices.NAMES[2]
    if wish.devices is None or any(
        name in span.names and h.version == 1 for h, span in spans.items()
    ):
        return spans
    found = {}
    for hierarchy, span in spans.items():
        names = {name} if hierarchy.version == 2 else set()
        found[hierarchy] = Span(span.folder, span.names | names)
    delegation.check_programs()
    return found


def _steps(spans: Spans, wish: Resources, present: Resources) -> tuple[list[Step], dict[Step, str]]:
    """Lower to steps, and say which field each is for; a program goes last: it is not read back."""
    fields = {
        write.step(span.folder): write.field
        for hierarchy, span in spans.items()
        for write in making.lowered(hierarchy, span.names, wish, present)
    }
    return sorted(fields, key=lambda step: step.operation is Operation.BPF_DEVICES), fields
