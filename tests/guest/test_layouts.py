"""The tests that depend on the kernel, in guests: other cgroup layouts, users and kernels.

Each test here boots one guest and runs one pytest session in it; what that session reports of
its tests becomes reports of this session. See docs/how-to-test-on-other-kernels.md.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import pytest
from vm import kernel
from vm.machine import ENVIRONMENT, Guest, GuestError, Sink

HERE = os.path.dirname(__file__)
TESTS = Path(HERE).parent
USER = "nsbox-tester"
SECONDS = 900
"""For a whole session: an emulated machine is 5 to 15 times slower, and hosts differ."""

PYTHON = os.environ.get("NSBOX_GUEST_PYTHON", sys.executable)
"""The interpreter in the guest, one that has nsbox and pytest."""

FULL = (5, 12)
"""The first kernel that has all that boxes are made by; see docs/how-to-test-on-other-kernels.md."""


class Setting(NamedTuple):
    """How cgroups are laid out, and who runs the tests there: root, or a user if one is named."""

    layout: str
    user: str | None = None


SETTINGS = {
    "v2-root": Setting("v2"),
    "v2-delegated": Setting("v2", USER),
    "v1-root": Setting("v1"),
    "hybrid-root": Setting("hybrid"),
}


def settings() -> list[Any]:
    """List them: $NSBOX_GUEST_SETTINGS names those that are to be asked, or it is all."""
    names = os.environ.get("NSBOX_GUEST_SETTINGS", ":".join(SETTINGS)).split(":")
    return [pytest.param(SETTINGS[name], id=name) for name in names]


def kernels() -> list[kernel.Kernel | None]:
    """List what to boot: $NSBOX_GUEST_KERNELS names images, "installed" or "fetched" ones."""
    found: list[kernel.Kernel | None] = []
    for name in os.environ.get("NSBOX_GUEST_KERNELS", "installed").split(":"):
        if name == "installed":
            found += kernel.installed()[:1]
        elif name == "fetched":
            found += kernel.fetched()
        else:
            found.append(kernel.Kernel.of(Path(name)))
    return found or [None]


@attrs.define
class Relay:
    """Makes reports of the guest's session into reports of this one."""

    item: pytest.Function
    executed: list[str] = attrs.field(factory=list)
    rest: bytes = b""

    def __call__(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self._report(line)

    def _report(self, line: bytes) -> None:
        hook, config = self.item.ihook, self.item.config
        prefix = f"{self.item.nodeid.partition('::')[0]}::{self.item.callspec.id}"
        report = hook.pytest_report_from_serializable(config=config, data=json.loads(line))
        report.nodeid = f"{prefix}::{report.nodeid}"
        if isinstance(report.longrepr, list):  # of a skip; JSON has no tuples
            path, number, reason = report.longrepr
            report.longrepr = (f"{prefix}: {path}", number, reason)
        if isinstance(report, pytest.CollectReport):
            hook.pytest_collectreport(report=report)
            return
        if report.when == "setup":
            self.item.session.testscollected += 1
            hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
        if report.when == "call" and not report.skipped:
            self.executed.append(report.nodeid)
        hook.pytest_runtest_logreport(report=report)


class Prepared(NamedTuple):
    """What was found out here, where it takes seconds: there, it would take half a minute."""

    bytecode: str
    files: tuple[Path, ...]


@pytest.fixture(scope="module")
def prepared(machine: None, pytestconfig: pytest.Config) -> Iterator[Prepared]:
    """Collect the tests: a folder of compiled modules, and the files that have tests for guests."""
    with tempfile.TemporaryDirectory(prefix="nsbox-guest-bytecode-") as folder:
        os.chmod(folder, 0o755)
        env = {"PYTHONPATH": HERE, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        places = [f"{TESTS}/kernel", f"{TESTS}/rootless"]
        collect = session(pytestconfig, ["--collect-only", "-m", "guest or cgroups", *places])
        done = subprocess.run(
            collect, env={**os.environ, **env}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = re.findall(r"^(\S+\.py)::", done.stdout, re.MULTILINE)
        files = (pytestconfig.rootpath / name for name in dict.fromkeys(found))
        yield Prepared(folder, tuple(files))


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("booted", kernels(), ids=lambda k: k.release if k else "no-kernel")
@pytest.mark.parametrize("setting", settings())
def test_the_kernels_part_holds(
    booted: kernel.Kernel | None,
    setting: Setting,
    prepared: Prepared,
    capfd: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if booted is None:
        pytest.skip("no kernel to boot in /boot (Debian: linux-image-cloud-amd64)")
    relay, output = Relay(request.node), bytearray()
    guest = Guest(kernel=booted, **setting._asdict(), reached=tuple(reached()))
    sinks: dict[str, Sink] = {"stdout": output.extend, "stderr": output.extend, "report": relay}
    env = {"PYTHONPATH": HERE, "PYTHONPYCACHEPREFIX": prepared.bytecode}
    command = session(request.config, chosen(booted, setting, prepared.files))
    try:
        with capfd.disabled():  # so that the terminal shows each report as it comes
            status = guest.run(command, sinks, env={**ENVIRONMENT, **env}, timeout=SECONDS)
    except GuestError as error:
        pytest.fail(f"{error}\n{output.decode(errors='replace')}", pytrace=False)
    assert status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), output.decode()
    assert relay.executed, f"no test was run in the guest:\n{output.decode()}"


def session(config: pytest.Config, chosen: Iterable[str]) -> list[str]:
    """Return the command of the session in the guest."""
    return [
        *(PYTHON, "-m", "pytest", "-q", "-p", "vm.reports", "-p", "no:cacheprovider"),
        *("-c", str(config.inipath), "--rootdir", str(config.rootpath)),
        *chosen,
    ]


def chosen(booted: kernel.Kernel, setting: Setting, files: Iterable[Path]) -> Iterator[str]:
    """Choose the tests that can be asked there; what is no matter of layouts is asked once."""
    old = TESTS / "kernel/test_old_kernels.py"
    if booted.version < FULL:
        yield from ("-m", "guest", str(old), str(TESTS / "kernel/rootfs"))
        return
    yield from ("-m", "cgroups or guest" if setting.layout == "v2" else "cgroups")
    for file in files:
        if file != old and (setting.user or TESTS / "rootless" not in file.parents):
            yield str(file)


def reached() -> Iterator[Path]:
    """Name what a user must be able to get at: an interpreter below root's home is not."""
    yield Path(PYTHON).absolute()
    yield Path(PYTHON).resolve()
    yield TESTS / "kernel"
