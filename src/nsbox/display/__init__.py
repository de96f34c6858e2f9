"""How objects show themselves in a notebook: values and handles drawn as HTML and SVG.

Notebooks ask an object for ``_repr_html_``, ``_repr_svg_`` and ``_repr_pretty_``, so nothing of
IPython is needed here. What draws is loaded when something is first shown, and knows the objects by
their attributes alone: it stands below them. Drawing changes nothing, and never fails because a
process has ended or a group is gone meanwhile.
"""

from typing import Any, Protocol

_DRAWN_BY = {
    "Box": "boxes",
    "BoxExecutor": "executors",
    "BoxPath": "paths",
    "BoxSpec": "specs",
    "Bridge": "networks",
    "Cgroup": "groups",
    "CompletedProcess": "usage",
    "Fleet": "fleets",
    "FleetStats": "fleets",
    "Hierarchy": "groups",
    "HostReport": "hosts",
    "IDMap": "specs",
    "Image": "images",
    "Mount": "roots",
    "Namespace": "namespaces",
    "Plan": "plans",
    "Process": "processes",
    "Resources": "specs",
    "RootFS": "roots",
    "Security": "specs",
    "Stats": "usage",
    "Step": "plans",
    "Task": "tasks",
    "Usage": "usage",
    "Watch": "watching",
}
"""The module that draws each class, and those derived from it, by a function named `draw`."""


class Printer(Protocol):
    """The part of IPython's printer that is used here."""

    def text(self, text: str, /) -> None:
        """Print text."""


class Displayed:
    """A base of what draws itself in a notebook."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        import importlib  # noqa: PLC0415 - only what is shown pays for being drawn

        name = next(one.__name__ for one in type(self).__mro__ if one.__name__ in _DRAWN_BY)
        drawing: Any = importlib.import_module(f"nsbox.display.{_DRAWN_BY[name]}")
        return str(drawing.draw(self))


class Printed(Displayed):
    """A base of what an interactive prompt shows as `print` does, since that says more."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:  # noqa: ARG002
        printer.text(str(self))
