"""An executor: its workers, and the box that each of them is in."""

from typing import TYPE_CHECKING

from nsbox.display import specs
from nsbox.display.markup import Markup, code, element, items, page, pill
from nsbox.sizes import readable

if TYPE_CHECKING:
    from nsbox.executor import BoxExecutor

_ISOLATION = {
    "process": "a call is a fork in {}",
    "box": "a call has a box of its own",
    "none": "a call runs in a worker's interpreter",
}


def draw(executor: "BoxExecutor") -> Markup:
    """Draw an executor."""
    settings = executor.settings
    where = "a box of its own" if executor.box_per_call else "a worker's box"
    rows: dict[str, object] = {
        "max_workers": str(executor.max_workers),
        "isolation": f"{settings.isolation}: {_ISOLATION[settings.isolation].format(where)}",
        "results": settings.results,
    }
    if settings.preload:
        rows["preload"] = code(", ".join(settings.preload))
    if settings.timeout is not None:
        rows["timeout"] = f"{settings.timeout:g} s a call"
    for name in ("memory_max", "output_max"):
        if getattr(settings, name) is not None:
            rows[name] = f"{readable(getattr(settings, name))} a call"
    state = pill("shut down") if executor.closed else pill("open", "good")
    wish = element("details", element("summary", "BoxSpec"), specs.spec(executor.spec))
    return page("BoxExecutor", specs.hostname(executor.spec), state, items(rows), wish)
