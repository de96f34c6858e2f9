"""The two beginnings of a container: its creation up to where it waits, and its start."""

import os
from collections.abc import Callable, Iterable
from typing import Any, Literal

from nsbox import _native
from nsbox.oci import launch, waiting
from nsbox.oci.config import Description
from nsbox.oci.state import START, Folder, Record
from nsbox.oci.talk import Failure, Talk, listen
from nsbox.plan import Slot
from nsbox.terminal import Channel


class Creation:
    """A container's process from its launch to its second wait; left early, it ends."""

    def __init__(self, folder: Folder, said: Description, console: int | None) -> None:
        self._folder, self._said, self._console = folder, said, console
        self._listener = listen(folder.path)
        self._talk = Talk.to(folder.path)
        self._channel = Channel(wanted=bool(said.options.terminal))
        self._launched: _native.Launched | None = None
        self._steps: launch.Steps = ()

    @property
    def after(self) -> dict[str, str]:
        """The steps that are left for the start, by their index, as they are printed."""
        last = max(i for i, step in enumerate(self._steps) if step == waiting.AWAIT)
        left = self._steps[last + 1 : -1]
        return {str(last + 1 + i): f"{step} (see {step.reference})" for i, step in enumerate(left)}

    def launch(self, folders: launch.Folders, standard: Iterable[int]) -> int:
        """Launch it in these groups; return its pid."""
        self._steps = launch.creating(self._said, folders)
        given = {Slot.LISTENER: self._listener.fileno(), **self._channel.given}
        given |= self._said.options.passed()
        self._launched = launch.create(self._said, self._steps, given, standard)
        self._listener.close()
        return self._launched.pid

    def arrived(self) -> None:
        """Wait until it is about to enter its root. Raises `StepError`."""
        self._expect_word()

    def finish(self) -> None:
        """Have it go on, until it is all but its command. Raises `StepError`."""
        self._talk.go_on()
        terminal = self._channel.receive()
        self._expect_word()
        if terminal is not None:
            launch.hand_over(terminal, self._console)
        assert self._launched is not None
        self._launched.let_go()
        self._launched = None

    def _expect_word(self) -> None:
        assert self._launched is not None
        word = self._talk.hear()
        if word is True:
            return
        if not isinstance(word, Failure):
            word = Failure(self._launched.outcome.step, self._launched.outcome.error)
        raise launch.failure(self._steps, word.step, word.errno, self._said)

    def __enter__(self) -> "Creation":
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self._channel.__exit__()
        self._talk.close()
        self._listener.close()
        if self._launched is not None:
            self._launched.abandon()
        return False


def start(
    folder: Folder,
    said: Description,
    record: Record,
    *,
    just_before: Callable[[], None],
    told: Callable[[int], None],
) -> None:
    """Have a container that waits become its command, after `just_before`.

    `told` is called with the listener of its filter, if there is one.
    Raises `ValueError` where somebody else has it go on.
    """
    taken = ValueError(f"start: container {folder.name!r} is being started, or has ended")
    try:
        talk = Talk.to(folder.path)
    except OSError:
        raise taken from None
    with talk:
        if talk.hear() is not True:
            raise taken
        just_before()
        (folder.path / START).unlink(missing_ok=True)
        talk.go_on()
        word = talk.hear()
        if talk.listener >= 0:
            told(talk.listener)
            word = talk.hear()
        _check(word, said, record)


def _check(word: Any, said: Description, record: Record) -> None:
    if not isinstance(word, Failure):
        return
    text = record.after.get(str(word.step))
    if text is None:
        raise launch.failed_exec(word.step, word.errno, said)
    raise OSError(word.errno, f"step {word.step} failed: {text}: {os.strerror(word.errno)}")
