"""How far something long is: told to a function of the caller's, or to a bar of tqdm's."""

from collections.abc import Callable
from typing import Any, Protocol

Progress = Callable[[int, int, str], None]
"""Called with how much is done, how much there is in all (bytes or boxes), and what is being done.

It is called in the thread of the caller.
"""


class Bar(Protocol):
    """A progress bar as tqdm's are, and those of what copies it."""

    total: Any
    n: Any

    def update(self, n: float | None = ...) -> Any:
        """Move on by `n`."""

    def set_description(self, desc: str | None = ...) -> Any:
        """Say what is being done."""


def on_bar(bar: Bar) -> Progress:
    """Return a progress function that moves a bar: ``tqdm(unit="B", unit_scale=True)``."""

    def progress(done: int, total: int, name: str) -> None:
        if bar.total != total:
            bar.total = total
        bar.set_description(name)
        bar.update(done - bar.n)

    return progress


def silent(done: int, total: int, name: str) -> None:
    """Tell nobody."""
