"""What a host can do, as a table: yes or no, and where it is no, the reason and the remedy."""

from typing import TYPE_CHECKING

from nsbox.display.markup import Markup, code, dim, element, join, page, pill, table

if TYPE_CHECKING:
    from nsbox.host import Finding, HostReport


def draw(report: "HostReport") -> Markup:
    """Draw a report."""
    kinds = {id(one) for one in report.namespaces.values()}
    there = [kind for kind, one in report.namespaces.items() if one.ok]
    missing = [one for one in report.namespaces.values() if not one.ok]
    rows = []
    for finding in report.findings:
        if id(finding) not in kinds:
            rows.append(_row(finding))
    rows.insert(1, (pill("yes", "good"), "namespaces", join(map(pill, there))))
    rows[2:2] = [_row(one) for one in missing]
    lacking = len(report.missing)
    note = f"{lacking} of {len(report.findings)} missing" if lacking else "nothing is missing"
    return page("HostReport", "", note, table(rows, ("", "question", "answer")))


def _row(finding: "Finding") -> tuple[object, object, object]:
    mark = pill("yes", "good") if finding.ok else pill("no", "bad")
    answer: list[object] = [finding.detail]
    if finding.obstacle:
        answer += [element("br"), dim("reason: "), finding.reason]
        answer += [element("br"), dim("remedy: "), code(finding.remedy)]
    return mark, finding.name, join(answer)
