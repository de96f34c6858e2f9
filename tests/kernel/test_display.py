"""What notebooks show, drawn from real boxes and groups: well formed, escaped, and readable."""

import os
import re
import shutil
import subprocess
import sys
import xml.dom.minidom
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from below import until

import nsbox
from nsbox import BoxSpec, Cgroup, IDMap, Mount, NamespaceType, Resources, RootFS, Security, Task

NAME = "<b>web</b>"

ROOT = RootFS.system().with_mounts(
    Mount.bind("/usr", "/data", readonly=True),
    Mount.tmpfs("/scratch", size="8M"),
    Mount.file("/etc/motd", "hello"),
    Mount.secret("/run/key", "not to be shown"),
    Mount.file(f"/etc/{NAME.replace('/', '')}", "x"),
)

pytestmark = pytest.mark.once


@pytest.fixture
def writable_cgroups() -> None:
    report = nsbox.probe().cgroups
    if not report.writable:
        pytest.skip(f"needs cgroups to write to: {report.reason}")


@pytest.fixture
def box() -> Iterator[nsbox.Box]:
    with BoxSpec(hostname=NAME, rootfs=ROOT).start() as box:
        yield box


@pytest.fixture
def lab(writable_cgroups: None) -> Iterator[Cgroup]:
    with Cgroup.create(f"nsbox-{os.getpid()}-display") as lab:
        lab.child("small", Resources(pids_max=50))
        lab.child("<b>")
        yield lab


def shown(thing: Any) -> str:
    """Check all that every object's HTML must be, and return it."""
    html = thing._repr_html_()
    assert type(html) is str
    xml.dom.minidom.parseString(f"<div>{html}</div>")
    assert NAME not in html
    assert "not to be shown" not in html
    for text in (repr(thing), str(thing)):
        assert "object at 0x" not in text
    return html


VALUES = [
    BoxSpec(hostname=NAME, rootfs=ROOT, env={"A": NAME}),
    BoxSpec(user=7, cwd="/tmp", umask=0o077),
    ROOT,
    RootFS.empty(),
    RootFS.directory("/srv", readonly=True),
    RootFS.overlay("/usr", "/opt"),
    RootFS.overlay("/usr", upper="/srv/kept"),
    *ROOT.mounts,
    Resources(memory_max="64M", cpu_max=0.5, cpuset_cpus="0-1", pids_max="max"),
    Resources(io_max={"8:0": nsbox.IOMax(rbps="1M")}, devices=["c 1:3 rwm"]),
    Security.default(),
    Security.strict(),
    Security.privileged(),
    IDMap(),
    IDMap.ranges([(0, 100000, 9)]),
    nsbox.Stats(),
    nsbox.Usage(0.5, 0.1, 0.2, None),
    nsbox.Usage(1.5, 0.1, 0.2, 1 << 20, oom_killed=True),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_show_themselves(value: Any) -> None:
    assert f"<b>{_kind(value)}</b>" in shown(value)


def _kind(value: Any) -> str:
    known = ("RootFS", "Mount", "Box", "BoxSpec")
    names = [base.__name__ for base in type(value).__mro__]
    return next((name for name in names if name in known), names[0])


def test_what_the_host_tells_shows_itself() -> None:
    assert "user namespaces" in shown(nsbox.probe())
    for hierarchy in nsbox.hierarchies():
        assert hierarchy.mountpoint in shown(hierarchy)


def test_a_plan_is_a_table_with_links_to_the_manual() -> None:
    plan = BoxSpec(hostname=NAME, rootfs=ROOT).plan(["cat", NAME])
    html = shown(plan)
    assert html.count("<tr>") == len(plan) + 1
    assert 'href="https://man7.org/linux/man-pages/man2/pivot_root.2.html"' in html
    assert "not to be shown" not in str(plan)
    for step in plan:
        shown(step)


def test_a_command_that_has_ended_shows_its_output() -> None:
    done = nsbox.run(["sh", "-c", "echo '<i>'; exit 3"], capture_output=True, text=True)
    html = shown(done)
    assert "returned 3" in html
    assert "&lt;i&gt;" in html


def test_a_box_shows_its_namespaces_beside_the_callers(box: nsbox.Box) -> None:
    html = shown(box)
    assert "&lt;b&gt;web&lt;/b&gt;" in html
    for kind in (NamespaceType.NET, NamespaceType.PID, NamespaceType.MNT):
        with Task.current() as caller:
            assert str(caller.namespaces[kind].inode) in html
        assert str(box.namespaces[kind].inode) in html
    assert html.count("its own") >= 6
    assert "its own" in shown(box.task)


def test_a_namespace_shows_who_is_in_it(box: nsbox.Box) -> None:
    assert f"{box.pid} nsbox-init" in shown(box.namespaces[NamespaceType.NET])


def test_what_has_ended_shows_that() -> None:
    with BoxSpec(hostname=NAME).start() as box, Task(box.pid) as task:
        box.kill()
        box.wait()
        assert "ended" in shown(box)
        assert "ended" in shown(task)
    assert "ended" in shown(box)
    assert "ended" in shown(box.task)


def test_a_group_is_a_picture_of_all_below_it(lab: Cgroup) -> None:
    with BoxSpec(hostname=NAME).start(cgroup=lab.open(f"{lab.name}/small")) as box:
        picture = lab._repr_svg_()
        assert f"{box.pid} nsbox-init" in picture
        assert "1 of 50" in picture
        assert "pids 1 of 50" in lab.tree()
        shown(lab)
        shown(lab.stats())
        shown(lab.resources)
    svg = xml.dom.minidom.parseString(picture).documentElement
    assert svg.tagName == "svg"
    titles = [title.firstChild.data for title in svg.getElementsByTagName("title")]
    assert titles[0] == f"cgroup {lab.path}"
    assert {hierarchy.mountpoint for hierarchy in lab.directories} <= set(titles)
    assert "<b>" not in picture


def test_a_command_shows_itself_before_and_after_its_end(box: nsbox.Box) -> None:
    with box.popen(["sh", "-c", f"exit 3 # {NAME}"], stdout=nsbox.PIPE) as process:
        assert "not waited for" in shown(process)
        assert "stdout" in shown(process)
        process.wait()
        assert "returned 3" in shown(process)


def test_a_folder_of_a_box_shows_what_is_in_it_and_no_more(box: nsbox.Box) -> None:
    box.run(
        ["sh", "-c", "cd /tmp; echo 12345 > '<b>five'; ln -s five link; mkdir many"], check=True
    )
    html = shown(box.root / "tmp")
    assert "&lt;b&gt;five" in html
    assert "6 B" in html
    assert "five" in shown(box.root / "tmp/link")
    assert "empty" in shown(box.root / "tmp/many")
    box.run(["sh", "-c", "cd /tmp/many; for i in $(seq 99); do : > $i; done"], check=True)
    assert "and more" in shown(box.root / "tmp/many")
    assert "No such file" in shown(box.root / "nowhere")
    path = box.root / "tmp"
    box.close()
    assert "BoxPath" in shown(path)


def test_an_executor_and_an_image_show_themselves(tmp_path: Path) -> None:
    with nsbox.BoxExecutor(BoxSpec(hostname=NAME, rootfs=RootFS.system(python=True))) as executor:
        assert "a fork in a box of its own" in shown(executor)
    with nsbox.BoxExecutor(python=sys.executable) as executor:
        assert "a fork in a worker" in shown(executor)
    assert "shut down" in shown(executor)
    (tmp_path / "file").write_text("x")
    image = nsbox.Image.build(tmp_path, cmd=["/bin/sh", NAME], env={"A": NAME}, labels={NAME: "x"})
    html = shown(image)
    assert "1 layers" in html
    assert image.digest[:19] in html


def test_usage_over_time_is_watched_until_the_end(writable_cgroups: None) -> None:
    limits = Resources(memory_max="64M", pids_max=20, cpu_max=1)
    with BoxSpec(hostname=NAME, resources=limits).start() as box:
        with nsbox.watch(box, interval=0.02) as watch:
            until(lambda: len(watch.samples) > 3)
            html = shown(watch)
            assert "watching" in html
            assert watch.samples[-1].memory_max == 64 << 20
            assert watch.samples[-1].pids_max == 20
        assert not watch.running
        curves = xml.dom.minidom.parseString(watch._repr_svg_()).getElementsByTagName("path")
        assert [one.getAttribute("class") for one in curves].count("line") == 3
        other = nsbox.watch(box, interval=0.02)
    other._thread.join(60)
    assert not other.running
    assert "ended" in shown(other)


def test_a_box_that_nothing_counts_can_be_watched_all_the_same() -> None:
    class Uncounted:
        def stats(self) -> nsbox.Stats:
            raise nsbox.UnsupportedError("no group")

    with nsbox.watch(Uncounted()) as watch:
        assert "nothing is counted" in shown(watch)


def test_nonsense_for_an_interval_is_refused(box: nsbox.Box) -> None:
    with pytest.raises(ValueError, match="interval"):
        nsbox.watch(box, interval=0)


def test_a_group_that_is_gone_shows_itself_all_the_same(writable_cgroups: None) -> None:
    with Cgroup.create(f"nsbox-{os.getpid()}-display") as lab:
        pass
    assert lab.name in shown(lab)


def test_prompts_print_what_says_more_than_a_repr() -> None:
    class Printer:
        said = ""

        def text(self, text: str) -> None:
            self.said += text

    for thing in (BoxSpec().plan(["true"]), nsbox.probe()):
        printer = Printer()
        thing._repr_pretty_(printer, False)
        assert printer.said == str(thing)


def test_showing_takes_no_ipython_and_is_loaded_late() -> None:
    script = (
        "import sys, nsbox; nsbox.BoxSpec; print('nsbox.display.markup' in sys.modules); "
        "nsbox.BoxSpec()._repr_html_(); print('IPython' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False", "False"]


CONTRAST = """
const channels = text => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
const over = (top, below) => {
  const a = top.length > 3 ? top[3] : 1;
  return [0, 1, 2].map(i => top[i] * a + below[i] * (1 - a));
};
const luminance = c => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
  const v = c[i] / 255;
  return sum + weight * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
}, 0);
function paper(node) {
  if (!node) return matchMedia('(prefers-color-scheme: dark)').matches ? [17, 17, 17] : [255, 255, 255];
  return over(channels(getComputedStyle(node).backgroundColor), paper(node.parentElement));
}
function faintness(node) {
  return node ? Number(getComputedStyle(node).opacity) * faintness(node.parentElement) : 1;
}
let worst = 21, where = '';
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || /^(style|script|title)$/i.test(node.tagName)) continue;
  const style = getComputedStyle(node), below = paper(node);
  const ink = channels(node.namespaceURI.endsWith('svg') ? style.fill : style.color);
  const seen = over([...ink.slice(0, 3), (ink[3] ?? 1) * faintness(node)], below);
  const [light, dark] = [luminance(seen), luminance(below)].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05);
  if (ratio < worst) { worst = ratio; where = walker.currentNode.data; }
}
const wide = [...document.querySelectorAll('.nsbox')].filter(e => e.scrollWidth > e.clientWidth + 1).length;
document.title = `worst ${worst.toFixed(2)} wide ${wide} at ${where}`;
"""

PAGE = """<!doctype html><meta charset="utf-8"><title></title>
<style>@media (prefers-color-scheme: dark) {{ body {{ background: #111; color: #ddd }} }}
body {{ font-family: sans-serif; width: 1100px }}</style>
<body>{body}<script>{script}</script></body>"""


@pytest.mark.parametrize(("scheme", "number"), [("light", 1), ("dark", 0)])
def test_all_of_it_can_be_read_in_a_browser(
    box: nsbox.Box, tmp_path: Path, scheme: str, number: int
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium: apt-get install chromium")
    things = [*VALUES, box, box.task, box.spec.plan(["true"]), nsbox.probe(), *nsbox.hierarchies()]
    things += [box.root / "etc", nsbox.Image.build(Path(__file__).parent)]
    if nsbox.probe().cgroups.writable:
        things.append(box.cgroup)
        with nsbox.watch(box, interval=0.02) as watch:
            box.run(["sleep", "0.2"])
        things.append(watch)
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(body="".join(map(shown, things)), script=CONTRAST))
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--dump-dom",
            f"--blink-settings=preferredColorScheme={number}",
            f"--user-data-dir={tmp_path}/profile",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = re.search(r"<title>worst ([\d.]+) wide (\d+) at (.*?)</title>", done.stdout, re.S)
    assert found, done.stderr
    assert float(found[1]) >= 4.5, found[0]  # WCAG 2, success criterion 1.4.3
    assert int(found[2]) == 0, found[0]
