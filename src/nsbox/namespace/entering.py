"""Being in a namespace: the calling thread for a while, or a thread of its own. See setns(2)."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from nsbox._native.operations import Operation
from nsbox.constants import CloneFlag
from nsbox.errors import StepError, UnsupportedError
from nsbox.namespace.types import NamespaceType
from nsbox.perform import perform
from nsbox.plan import Step

ATTEMPTS = range(10)
"""How often a thread tries to move back while signal handlers raise in between."""

Result = TypeVar("Result")


class Enterable(Protocol):
    """A live namespace."""

    @property
    def type(self) -> NamespaceType:
        """Its kind."""

    def fileno(self) -> int:
        """Its descriptor."""

    def close(self) -> None:
        """Let go of it."""


_NOT_BY_A_THREAD = {
    NamespaceType.USER: "a process with threads cannot change its user namespace",
    NamespaceType.TIME: "a process with threads cannot change its time namespace",
}
"""Why setns(2) refuses a thread of a process that has others, or shares its memory."""


class EnteredElsewhereError(RuntimeError):
    """A thread leaves what another has entered, which is in it still."""


@contextlib.contextmanager
def entered(namespace: Enterable, before: Enterable) -> Iterator[None]:
    """Move the calling thread into a namespace for a ``with`` block, and back to `before`."""
    thread = threading.get_ident()
    refused = False
    try:
        try:
            _move(namespace)
        except StepError:
            refused = True  # by the kernel: the thread is where it was
            raise
        yield
    finally:
        # What a signal handler raises while the thread moves back has to wait until it is there;
        # outside of the inner "try" nothing is called, and so nothing is raised.
        interrupted: BaseException | None = None
        for _ in () if refused else ATTEMPTS:
            try:
                _check_thread(thread, namespace)
                _move(before)
                break
            except (StepError, EnteredElsewhereError):
                raise
            except BaseException as error:
                interrupted = error
        before.close()
        if interrupted is not None:
            try:
                raise interrupted
            finally:
                del interrupted  # else its traceback and this frame keep each other alive


def _check_thread(thread: int, namespace: Enterable) -> None:
    if threading.get_ident() != thread:
        raise EnteredElsewhereError(
            f"{namespace!r} was entered by another thread, which is in it still"
        )


def call(namespace: Enterable, function: Callable[[], Result]) -> Result:
    """Call a function in a thread of its own, which moves into a namespace first."""
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def enter_and_call() -> None:
        try:
            _move(namespace)
            outcome.append(function())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=enter_and_call, name=f"nsbox-{namespace.type.proc_name}")
    thread.start()
    thread.join()
    if failure:
        try:
            raise failure[0]
        finally:
            failure.clear()  # else the traceback and this frame keep each other alive
    return outcome[0]


def check(namespace: Enterable, *, alone: bool) -> None:
    """Refuse the kinds that no thread can enter, or none that is not `alone` made for it."""
    reason = _NOT_BY_A_THREAD.get(namespace.type)
    if namespace.type is NamespaceType.MNT and not alone:
        reason = "a thread shares its root and working folder with the others: use call()"
    if reason:
        raise UnsupportedError(
            f"{namespace!r} cannot be entered: {reason}; a BoxSpec can join it: "
            f"namespaces=ISOLATED | {{{namespace.type!r}: …}}"
        )


def _move(namespace: Enterable) -> None:
    """Move the calling thread. Of its own it lets go of what setns(2) wants unshared."""
    kind = namespace.type
    steps = [Step(Operation.SETNS, (kind.slot, str(namespace), kind.clone_flag))]
    if kind is NamespaceType.MNT:
        steps.insert(0, Step(Operation.UNSHARE, (CloneFlag.CLONE_FS,)))
    perform(steps, {kind.slot: namespace.fileno()})
