"""Skipping a test where the host cannot: only for a reason that `nsbox.probe` finds, or names."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import NoReturn

import pytest

from nsbox.caller import Caller
from nsbox.errors import NsboxError, UnsupportedError
from nsbox.host import Finding, HostReport, probe
from nsbox.namespace import Choice, NamespaceType
from nsbox.spec import BoxSpec


@contextlib.contextmanager
def skipped_where_missing(needed: Iterable[Finding]) -> Iterator[None]:
    """Skip the test if what the block does fails, and this host lacks something `needed` for it.

    An error of another reason is the test's, and stays one.
    """
    __tracebackhide__ = True
    try:
        yield
    except UnsupportedError as error:  # it says itself what would help
        raise _skipped(str(error)) from None
    except (NsboxError, OSError):
        for finding in needed:
            if not finding.ok:
                skip(finding)
        raise


def skip(finding: Finding) -> NoReturn:
    """Skip the test for what the host lacks."""
    __tracebackhide__ = True
    raise _skipped(f"{finding.name}: {finding.reason}; remedy: {finding.remedy}")


def _skipped(reason: str) -> BaseException:
    """Make what `pytest.skip` raises, placed at the test and not here."""
    return pytest.skip.Exception(reason, _use_item_location=True)


def needed_for_box(spec: BoxSpec) -> Iterator[Finding]:
    """Ask the host for all that a box of this spec needs."""
    report = probe()
    new = [kind for kind, choice in spec.choices.items() if choice is Choice.NEW]
    yield from needed_for_namespaces(new, report)
    yield from (report.clone3, report.close_range, report.memfd_exec, report.mount_api)
    if spec.id_map.has_ranges:
        yield report.newuidmap
    if spec.security.seccomp is not None:
        yield report.seccomp
    if spec.security.landlock is not None:
        yield report.landlock
    if spec.resources.given:
        yield report.cgroups


def needed_for_namespaces(
    kinds: Iterable[NamespaceType], report: HostReport | None = None
) -> Iterator[Finding]:
    """Ask the host for namespaces, and for one of users where the caller needs that to make them.

    The host is looked at when the first answer is asked for.
    """
    report = report or probe()
    for kind in kinds:
        yield report.namespaces[kind.proc_name]
    if NamespaceType.USER in kinds or not Caller.current().privileged:
        yield report.user_namespaces
