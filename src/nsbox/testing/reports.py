"""The report of a test: what is told of its boxes, and what its own process has told."""

import collections
import json
import os
import shlex
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from nsbox.display.gauges import gauges
from nsbox.errors import NsboxError, StepError
from nsbox.plan import Plan
from nsbox.sizes import readable
from nsbox.spec import BoxSpec
from nsbox.testing.notes import Notes, notes
from nsbox.usage import CompletedProcess

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup
    from nsbox.testing.boxes import RecordedBox

_WIDTH = 96
_MOST_LINES = 20
_AROUND = 3


def completed(item: pytest.Item, when: str, report: pytest.TestReport) -> pytest.TestReport:
    """Complete the report of a test; in a test's own process send it, and end there."""
    noted = notes(item)
    if when == "call" and noted.told is not None:
        report = _received(item, noted.told)
        noted.told = None
    if report.failed:
        report.sections.extend(noted.own_sections())
    if noted.tell is not None:
        _send(item, report, noted)
    return report


def _send(item: pytest.Item, report: pytest.TestReport, noted: Notes) -> None:
    data = item.config.hook.pytest_report_to_serializable(config=item.config, report=report)
    left = memoryview(json.dumps(data, default=repr).encode())
    assert noted.tell is not None
    while left:
        left = left[os.write(noted.tell, left) :]
    noted.leave(0)


def _received(item: pytest.Item, told: bytes) -> pytest.TestReport:
    data = json.loads(told)
    if isinstance(data["longrepr"], list):  # of a skip: place and reason, which were a tuple
        data["longrepr"] = tuple(data["longrepr"])
    report = item.config.hook.pytest_report_from_serializable(config=item.config, data=data)
    assert isinstance(report, pytest.TestReport)
    return report


def section_of_box(box: "RecordedBox") -> tuple[str, str]:
    """Tell of a box: what it was made from, its plan in short, its commands, what it used."""
    return f"nsbox {box!r}", "\n".join(_box_lines(box))


def section_of_failure(spec: BoxSpec, error: StepError) -> Callable[[], tuple[str, str]]:
    """Tell of a box that could not be started: the steps around the one that failed."""
    index, where = error.index, spec.hostname or "without a name"

    def section() -> tuple[str, str]:
        lines = [_wish(spec)]
        for number, step in enumerate(spec.plan()):
            if abs(number - index) <= _AROUND:
                lines.append(f"{'>' if number == index else ' '} {number:3d}  {step}"[:_WIDTH])
        return f"nsbox box {where!r}, not started", "\n".join(lines)

    return section


def section_of_group(group: "Cgroup") -> Callable[[], tuple[str, str]]:
    """Tell what a group has used; it is read at once, as the group is about to go."""
    text = "\n".join(map(str, gauges(group.stats(), group.resources)))
    return lambda: ("nsbox limits", text)


def short(plan: Plan) -> str:
    """Write a plan as the names of its steps, by when each comes first."""
    counts = collections.Counter(step.name for step in plan)
    names = (name if count == 1 else f"{name} x{count}" for name, count in counts.items())
    return _wrapped(f"plan of {len(plan)} steps: {', '.join(names)}")


def _box_lines(box: "RecordedBox") -> Iterator[str]:
    yield _wish(box.spec)
    yield short(box.spec.plan())
    for done in box.ran:
        yield from _command_lines(done)
    try:
        yield "used: " + ", ".join(map(str, gauges(box.stats(), box.cgroup.resources)))
    except NsboxError:
        yield "used: not counted, as no group was made for it"


def _command_lines(done: Any) -> Iterator[str]:
    args = done.args if isinstance(done, CompletedProcess) else done.cmd
    words = [args] if isinstance(args, str | bytes | os.PathLike) else args
    yield f"$ {shlex.join(os.fsdecode(word) for word in words)}"
    yield f"  {_outcome(done)}"
    for name in ("stdout", "stderr"):
        yield from _stream_lines(name, getattr(done, name, None))


def _outcome(done: Any) -> str:
    if isinstance(done, subprocess.TimeoutExpired):
        return f"ended after {done.timeout:g} s, which was its timeout"
    told = f"returned {done.returncode}"
    if isinstance(done, CompletedProcess):
        usage = done.usage
        told += f" after {usage.wall_seconds:.3f} s, {usage.cpu_seconds:.3f} s of CPU"
        if usage.memory_peak is not None:
            told += f", {readable(usage.memory_peak)} at most"
        told += "; the OOM killer ended a task" if usage.oom_killed else ""
    return told


def _stream_lines(name: str, content: str | bytes | None) -> Iterator[str]:
    text = content.decode(errors="replace") if isinstance(content, bytes) else content or ""
    lines = text.splitlines()
    if len(lines) > _MOST_LINES:
        yield f"  {name}: … {len(lines) - _MOST_LINES} lines before these"
    for line in lines[-_MOST_LINES:]:
        yield f"  {name}: {line}"


def _wish(spec: BoxSpec) -> str:
    return _wrapped(textwrap.shorten(repr(spec), 6 * _WIDTH, placeholder=" …)"))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)
