"""Changing the limits of a group that exists: all that are given, or none."""

import contextlib

from nsbox._native.operations import Operation
from nsbox.cgroup import controllers, making, performing
from nsbox.cgroup.finding import Spans
from nsbox.cgroup.resources import Resources
from nsbox.errors import NsboxError, UnsupportedError
from nsbox.plan import Step


def change(spans: Spans, wish: Resources, present: Resources) -> None:
    """Write the limits that are given; if one is refused, put back those that were there.

    Raises `UnsupportedError` before anything is touched where the group is in no hierarchy of a
    limit's subsystem, or its version cannot do it.
    """
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
        before = Resources(
            **{name: old for name in wish.given if (old := getattr(present, name)) is not None}
        )
        with contextlib.suppress(NsboxError, OSError):
            performing.perform(_steps(spans, before, wish)[0], fields.get)
        raise


def _steps(spans: Spans, wish: Resources, present: Resources) -> tuple[list[Step], dict[str, str]]:
    steps, fields = [], {}
    for hierarchy, span in spans.items():
        for write in making.lowered(hierarchy, span.names, wish, present):
            path = f"{span.folder}/{write.file}"
            steps.append(Step(Operation.WRITE, (path, write.value.encode())))
            fields[path] = write.field
    return steps, fields
