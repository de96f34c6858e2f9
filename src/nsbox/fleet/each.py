"""One function for many, in parallel, where an error of one does not stop the others."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

from nsbox.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    names: Sequence[str],
    max_workers: int | None,
    progress: Progress,
) -> tuple[Future[Result], ...]:
    """Call a function with each of the items; return a future of each, all of them done.

    What interrupts the caller (Ctrl-C, or an error of `progress`) cancels the calls that have not
    begun, waits for the others, and goes on.
    """
    if not items:
        return ()
    with ThreadPoolExecutor(max_workers, "nsbox-fleet") as pool:
        futures = tuple(pool.submit(function, item) for item in items)
        try:
            named = dict(zip(futures, names, strict=True))
            for done, future in enumerate(as_completed(futures), 1):
                progress(done, len(futures), named[future])
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return futures


def errors(futures: Sequence[Future[Result]], what: str) -> None:
    """Raise what went wrong as one `ExceptionGroup`, if anything did."""
    found = [error for error in (future.exception() for future in futures) if error is not None]
    if found:
        raise BaseExceptionGroup(f"{len(found)} of {len(futures)} {what}", found)
