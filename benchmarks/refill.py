"""Put the tables of a run into a document, each where its benchmark is named.

    python benchmarks/refill.py REPORTS.json [benchmarks/README.md]

REPORTS.json is what `python benchmarks --json` wrote. What stands in the document between
``<!-- spawn -->`` and ``<!-- /spawn -->`` is replaced by the tables of spawn.py, and so with the
others; ``<!-- goals -->`` takes a run of all. The text around has figures, too: look at it.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from report import goals_table, host, markdown


def refilled(document: str, reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the document with the tables of these reports; those of others stay."""
    marked = set(re.findall(r"<!-- (\w+) -->", document))
    missing = marked - {"goals"} - reports.keys()

    def block(found: "re.Match[str]") -> str:
        name = found[1]
        if name == "goals" and missing:
            return found[0]
        goals = [goal for report in reports.values() for goal in report["goals"]]
        if name == "goals":
            parts = [markdown(goals_table(goals))]
        elif name in reports:
            report = reports[name]
            absent = [f"{peer} ({why})" for peer, why in report["left out"].items()]
            parts = [f"{host(report)}."]
            parts += [f"Left out: {'; '.join(absent)}."] if absent else []
            parts += map(markdown, report["tables"])
        else:
            return found[0]
        return "\n\n".join([f"<!-- {name} -->", *parts, f"<!-- /{name} -->"])

    return re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", block, document, flags=re.DOTALL)


if __name__ == "__main__":
    file = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("README.md")
    file.write_text(refilled(file.read_text(), json.loads(Path(sys.argv[1]).read_text())))
