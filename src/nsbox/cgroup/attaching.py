"""Tasks in groups: who is in one, and moving them there. See cgroups(7), cgroup-v2.rst."""

import contextlib
import errno
import os
from collections.abc import Iterable

from nsbox import hints
from nsbox._native.operations import Operation
from nsbox.cgroup import files, stopping, v1
from nsbox.cgroup.finding import Spans
from nsbox.cgroup.hierarchy import UNIFIED, Hierarchy, groups_of
from nsbox.cgroup.making import VERSIONS, resolve
from nsbox.errors import StepError, UnsupportedError
from nsbox.plan import Step

PROCESSES = "cgroup.procs"


def processes(spans: Spans) -> frozenset[int]:
    """Return the processes in a group, in any of its hierarchies."""
    listed = (files.numbers(f"{span.folder}/{PROCESSES}") for span in spans.values())
    return frozenset(pid for pids in listed for pid in pids)


def threads(spans: Spans) -> frozenset[int]:
    """Return the threads in a group, in any of its hierarchies."""
    listed = (
        files.numbers(f"{span.folder}/{VERSIONS[hierarchy.version].THREADS}")
        for hierarchy, span in spans.items()
    )
    return frozenset(tid for tids in listed for tid in tids)


def attach(spans: Spans, number: int, subsystems: Iterable[str] | None, *, thread: bool) -> None:
    """Move a process or a thread; if one hierarchy refuses, it is moved back in the others."""
    if number <= 0:
        raise ValueError(f"task: a pid above 0, not {number}")
    chosen = list(spans) if subsystems is None else _chosen(spans, frozenset(subsystems))
    if os.path.exists(f"/proc/self/task/{number}"):
        _refuse_to_sleep(spans)
    before = groups_of(number, tuple(chosen))
    moved: list[Hierarchy] = []
    try:
        for index, hierarchy in enumerate(chosen):
            _move(hierarchy, spans[hierarchy].folder, number, index, thread=thread)
            moved.append(hierarchy)
    except BaseException:
        for hierarchy in moved:
            with contextlib.suppress(OSError, UnsupportedError, KeyError):
                _move(hierarchy, before[hierarchy], number, 0, thread=thread)
        raise


def kind(spans: Spans) -> str | None:
    """Return what ``cgroup.type`` says, None without v2."""
    folder = stopping.unified({hierarchy: span.folder for hierarchy, span in spans.items()})
    text = None if folder is None else files.read(f"{folder}/cgroup.type")
    return None if text is None else text.rstrip("\n")


def make_threaded(spans: Spans) -> None:
    """Write ``cgroup.type``. Raises `UnsupportedError` without v2, `OSError` if refused."""
    folder = stopping.unified({hierarchy: span.folder for hierarchy, span in spans.items()})
    if folder is None:
        raise UnsupportedError("make_threaded: on cgroup v1 every group takes single threads")
    files.write(f"{folder}/cgroup.type", "threaded")


def _chosen(spans: Spans, subsystems: frozenset[str]) -> list[Hierarchy]:
    """Return the hierarchies of some subsystems, if they are all that the group is for there."""
    asked: dict[Hierarchy, set[str]] = {}
    for name in subsystems:
        hierarchy, key = resolve(name, spans)
        if key not in spans[hierarchy].names | {UNIFIED}:
            raise UnsupportedError(f"attach: the group is not for {name}")
        # What v2 does in every group is no subsystem of its own, and cannot be asked for alone.
        asked.setdefault(hierarchy, set()).add(name if key == UNIFIED else key)
    for hierarchy, names in asked.items():
        there = spans[hierarchy].names & hierarchy.subsystems
        left = frozenset() if UNIFIED in names else there - v1.with_counters(names)
        if left:
            raise UnsupportedError(
                f"attach: {', '.join(sorted(names))} shares its hierarchy (cgroup "
                f"v{hierarchy.version}) with {', '.join(sorted(left))}, and a task is in one group "
                "for all of them: nothing was moved"
            )
    return list(asked)


def _move(hierarchy: Hierarchy, folder: str, number: int, index: int, *, thread: bool) -> None:
    file = VERSIONS[hierarchy.version].THREADS if thread else PROCESSES
    path = f"{folder}/{file}"
    try:
        files.write(path, str(number))
    except OSError as error:
        assert error.errno is not None
        if hierarchy.version == 2 and (reason := _V2_REASONS.get(error.errno)):
            raise UnsupportedError(f"attach: {folder} {reason}") from None
        step = Step(Operation.WRITE, (path, str(number).encode()))
        hint = hints.hint(step, error.errno)
        raise StepError.of(step, error.errno, index, box=None, hint=hint) from None


_V2_REASONS = {
    errno.EBUSY: (
        "hands controllers down, so it holds no processes of its own (cgroup-v2.rst, "
        '"No Internal Process Constraint"): attach to a child of it'
    ),
    errno.EOPNOTSUPP: (
        'is of a type that does not take it (cgroup-v2.rst, "Threads"): single threads go to '
        "threaded groups of their domain, whole processes to domains"
    ),
}


def _refuse_to_sleep(spans: Spans) -> None:
    """Raise `ValueError` for a move that would stop the calling process. The look can race."""
    with contextlib.suppress(UnsupportedError):
        if stopping.is_frozen({hierarchy: span.folder for hierarchy, span in spans.items()}):
            raise ValueError("attach: the group is frozen, and the calling process would stop")
