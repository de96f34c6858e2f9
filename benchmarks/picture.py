"""The starts as a picture: bars of how many times as long as `subprocess.run` each takes.

    python benchmarks/picture.py REPORT.json PICTURE.svg

REPORT.json is what `spawn.py --json` wrote, or `python benchmarks --json`. The scale is
logarithmic, for a container engine takes a hundred times as long; the picture is light or dark, as
the reader's system is.
"""

import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from report import by_round, ends

SHOWN = {
    "subprocess.run": "subprocess.run, no box",
    "nsbox.Pool.run": "nsbox.Pool.run, made ahead",
    "nsbox.Pool.run, limits": "nsbox.Pool.run, with limits",
    "nsbox.Box.run": "nsbox.Box.run, in one that runs",
    "C floor": "the system calls of nsbox.run, in C",
    "nsbox.run": "nsbox.run",
    "nsbox.run, limits": "nsbox.run, with limits",
    "unshare": "unshare, nothing mounted",
    "bwrap": "bwrap, no groups",
    "crun": "crun",
    "runc": "runc",
    "lxc-execute": "lxc-execute",
    "systemd-nspawn": "systemd-nspawn",
    "containerexec": "BenchExec containerexec",
    "podman, no cgroup": "podman, no groups",
    "docker": "docker",
}
"""What is drawn, as far as it took part, and what it is called; from the quickest down."""

LEFT, WIDTH, RIGHT, TOP, STEP, BAR = 268, 390, 72, 62, 24, 15
STYLE = """
.paper{fill:#fff;stroke:#d0d4dc}.ink{fill:#1f2328}.dim{opacity:.68}
text{font:13px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}
.title{font-weight:600;font-size:15px}.end{text-anchor:end}.middle{text-anchor:middle}
.line{stroke:#1f2328;stroke-opacity:.14}.spread{stroke:#1f2328;stroke-opacity:.6}
.ours{fill:#3b82f6}.floor{fill:#2aa876}.other{fill:#8a8f9c}.own{font-weight:600}
@media (prefers-color-scheme:dark){.paper{fill:#15181e;stroke:#333a46}.ink{fill:#e6e9ee}
.line,.spread{stroke:#e6e9ee}}
"""


def picture(report: Mapping[str, Any]) -> str:
    """Draw what spawn.py has measured with pauses, or whatever it measured last."""
    title, samples = next(
        (title, own)
        for title, own in reversed(report["samples"].items())
        if "subprocess.run" in own
    )
    plain = samples["subprocess.run"]
    ratios = {name: by_round(samples[name], plain) for name in SHOWN if name in samples}
    order = sorted(ratios, key=lambda name: statistics.median(ratios[name]))
    most = max(statistics.median(own) for own in ratios.values())
    bottom = TOP + STEP * len(order)
    width, height = LEFT + WIDTH + RIGHT, bottom + 34
    linux = report["kernel"].partition("-")[0]
    caption = f"{report['cpus']} CPUs, Linux {linux}, load {report['load']}, starts {title}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">',
        f"<title>Start to end of `true`, by how it is started</title><style>{STYLE}</style>",
        f'<rect class="paper" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="10"/>',
        _text(20, 28, "Start to end of true, against subprocess.run = 1", "title"),
        *_lines(most, bottom),
        *(
            part
            for number, name in enumerate(order)
            for part in _bar(name, ratios[name], most, TOP + STEP * number)
        ),
        _text(20, bottom + 20, f"{caption}; logarithmic scale; lines: 10 to 90 %", "dim"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _place(ratio: float, most: float) -> float:
    """Return where on the scale a ratio is: it begins at a half."""
    return WIDTH * max(0.0, math.log(ratio / 0.5)) / math.log(most * 1.3 / 0.5)


def _lines(most: float, bottom: int) -> list[str]:
    parts = []
    for mark in (1, 2, 5, 10, 20, 50, 100, 200, 500):
        if mark <= most * 1.3:
            x = LEFT + _place(mark, most)
            parts.append(f'<path class="line" d="M{x:.1f} {TOP - 4}V{bottom}"/>')
            parts.append(_text(x, TOP - 9, f"{mark}", "dim middle"))
    return parts


def _bar(name: str, ratios: Sequence[float], most: float, y: float) -> list[str]:
    kind = "ours" if name.startswith("nsbox") else "floor" if name == "C floor" else "other"
    median, middle = statistics.median(ratios), y + STEP / 2
    low, high = ends(ratios)
    start, end = (LEFT + _place(one, most) for one in (low, min(high, most * 1.3)))
    length = max(1.0, _place(median, most))
    label = f"{median:.{1 if median < 10 else 0}f}"
    return [
        _text(LEFT - 10, middle + 4.5, SHOWN[name], f"end{' own' if kind == 'ours' else ''}"),
        f'<rect class="{kind}" x="{LEFT}" y="{middle - BAR / 2:.1f}" width="{length:.1f}" '
        f'height="{BAR}" rx="2"><title>{escape(name)}: {median:.2f}</title></rect>',
        f'<path class="spread" d="M{start:.1f} {middle:.1f}H{end:.1f}"/>',
        _text(max(LEFT + length, end) + 7, middle + 4.5, label, "own"),
    ]


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="ink {kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(picture(found.get("spawn", found)))
