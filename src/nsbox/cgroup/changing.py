"""Changing the limits of a group that exists: all that are given, or none."""

import contextlib

from nsbox._native.operations import Operation
from nsbox.cgroup import controllers, delegation, making, performing
from nsbox.cgroup.finding import Span, Spans
from nsbox.cgroup.resources import Resources
from nsbox.errors import NsboxError, UnsupportedError
from nsbox.plan import Step


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
        before = Resources(
            **{name: old for name in wish.given if (old := getattr(present, name)) is not None}
        )
        with contextlib.suppress(NsboxError, OSError):
            performing.perform(_steps(spans, before, wish)[0], fields.get)
        raise


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
