"""All findings together, and how they read in a terminal."""

import attrs

from nsbox.display import Printed
from nsbox.frozen import FrozenMap
from nsbox.host import id_ranges, namespaces, overlay, system_calls
from nsbox.host.cgroups import CgroupReport, cgroups
from nsbox.host.finding import Finding
from nsbox.host.host import Host
from nsbox.host.kernel import KernelReport, kernel
from nsbox.host.system_calls import LandlockReport


@attrs.frozen(kw_only=True)
class HostReport(Printed):
    """What this host can do for the caller who asked; `print` it to read it."""

    kernel: KernelReport
    namespaces: FrozenMap[str, Finding]  # by the names in /proc/PID/ns
    user_namespaces: Finding
    newuidmap: Finding
    overlay: Finding
    cgroups: CgroupReport
    seccomp: Finding
    landlock: LandlockReport
    mount_api: Finding
    memfd_exec: Finding
    clone3: Finding
    close_range: Finding

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them, in the order of the fields."""
        found: list[Finding] = []
        for field in attrs.fields(HostReport):
            value = getattr(self, field.name)
            found += value.values() if isinstance(value, FrozenMap) else [value]
        return tuple(found)

    @property
    def missing(self) -> tuple[Finding, ...]:
        """Those that are not `ok`."""
        return tuple(finding for finding in self.findings if not finding.ok)

    @property
    def landlock_abi(self) -> int:
        """The version of Landlock's interface, 0 where there is none."""
        return self.landlock.abi

    def __str__(self) -> str:
        # One row for all kinds that are there; `user_namespaces` has a row of its own.
        kinds = [kind for kind, finding in self.namespaces.items() if finding.ok]
        folded = [self.namespaces[kind] for kind in {*kinds, "user"}]
        shown = [finding for finding in self.findings if finding not in folded]
        if kinds:
            shown.insert(1, Finding("namespaces", ", ".join(kinds)))
        width = max(len(finding.name) for finding in shown)
        return "\n".join(_row(finding, width) for finding in shown)


def _row(finding: Finding, width: int) -> str:
    row = f"{'yes' if finding.ok else 'no':<5}{finding.name:<{width}}  {finding.detail}"
    if finding.obstacle:
        row += f"\n{'':5}reason: {finding.reason}\n{'':5}remedy: {finding.remedy}"
    return row


def report(host: Host) -> HostReport:
    """Ask every question of one host."""
    return HostReport(
        kernel=kernel(host),
        namespaces=namespaces.namespaces(host),
        user_namespaces=namespaces.user_namespaces(host),
        newuidmap=id_ranges.newuidmap(host),
        overlay=overlay.overlay(host),
        cgroups=cgroups(host),
        seccomp=system_calls.seccomp(host),
        landlock=system_calls.landlock(host),
        mount_api=system_calls.mount_api(host),
        memfd_exec=system_calls.memfd_exec(host),
        clone3=system_calls.clone3(host),
        close_range=system_calls.close_range(host),
    )
