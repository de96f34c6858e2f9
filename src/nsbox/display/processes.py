"""A command in a box, while it runs and afterwards."""

from typing import TYPE_CHECKING

from nsbox.display import usage
from nsbox.display.markup import Markup, code, dim, items, page, pill, section

if TYPE_CHECKING:
    from nsbox.process import Process

_STREAMS = ("stdin", "stdout", "stderr", "terminal")


def draw(process: "Process") -> Markup:
    """Draw a command; looking does not wait for it."""
    told = (getattr(process, name, None) for name in _STREAMS)
    open_ends = [name for name, end in zip(_STREAMS, told, strict=True) if end is not None]
    streams = ", ".join(open_ends) or dim("the caller's own, or none")
    rows = items({"pid": code(process.pid), "pipes": streams})
    cost = "" if process.usage is None else section("usage", usage.usage(process.usage))
    return page("Process", usage.command(process.args), _state(process), rows, cost)


def _state(process: "Process") -> Markup:
    if process.returncode is None:
        return pill("not waited for" if process.usage is None else "ended", "good")
    return pill(f"returned {process.returncode}", "bad" if process.returncode else "good")
