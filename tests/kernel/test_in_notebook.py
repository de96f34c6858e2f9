"""Boxes and functions in boxes from a notebook, whose kernel has a running loop and threads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import nsbox

pytestmark = pytest.mark.once

pytest.importorskip("nbclient")

CELLS = [
    "import asyncio, nsbox, os, socket\nfrom nsbox import BoxExecutor, BoxSpec, RootFS",
    """
spec = BoxSpec(hostname="notebook")
with spec.start() as box:
    assert box.run(["hostname"], capture_output=True, text=True).stdout == "notebook\\n"
    done = await nsbox.aio.run(["hostname"], spec, capture_output=True, text=True)
    assert done.stdout == "notebook\\n"
""",
    """
class Pair:
    def __init__(self, one, two):
        self.one, self.two = one, two

FACTOR = 3

def times(pair):
    return Pair(pair.one * FACTOR, os.getpid())
""",
    """
worker = BoxSpec(rootfs=RootFS.system(python=True), hostname="worker")
with BoxExecutor(worker, max_workers=2) as executor:
    made = list(executor.map(times, [Pair(n, None) for n in range(5)]))
    assert all(isinstance(pair, Pair) for pair in made)
    assert [pair.one for pair in made] == [0, 3, 6, 9, 12]
    awaited = await asyncio.get_running_loop().run_in_executor(executor, socket.gethostname)
    assert awaited == "worker"
print("done")
""",
]


WATCHED = [
    'import nsbox, time\nbox = nsbox.BoxSpec(hostname="seen").start()',
    "watched = nsbox.watch(box, interval=0.05)\nwatched",
    "time.sleep(0.5)\nbox.close()\nwatched._thread.join(60)",  # after the last refresh
]


RUN = """
import json, sys, nbclient, nbformat
notebook = nbformat.v4.new_notebook()
notebook.cells = [nbformat.v4.new_code_cell(source.strip()) for source in json.load(sys.stdin)]
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
"""

LAST = "print(notebook.cells[-1].outputs[0].text)"

SHOW = """
(shown,) = notebook.cells[1].outputs
print(shown.output_type, "ended" in shown.data["text/html"])
"""


def in_notebook(cells: list[str], tell: str = LAST) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", RUN + tell],
        input=json.dumps(cells),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_notebook_has_all_of_it() -> None:
    done = in_notebook(CELLS)
    assert done.stdout.strip() == "done", done.stderr


EXAMPLES = Path(__file__).parents[2] / "docs/examples"

BESIDE_THREADS = """
import runpy, sys, threading
ended = threading.Event()
def compute():
    while not ended.wait(0.001): sum(range(1000))
threads = [threading.Thread(target=compute) for _ in range(4)]
for thread in threads: thread.start()
try: runpy.run_path(sys.argv[1], run_name="__main__")
finally: ended.set()
print("done")
"""


@pytest.fixture(params=["05_box.py", "10_executor.py"])
def example(request: pytest.FixtureRequest) -> Path:
    if request.param == "05_box.py":
        reason = may_make_groups()
        if reason:
            pytest.skip(reason)
    found: Path = EXAMPLES / request.param
    return found


def may_make_groups() -> str | None:
    try:
        nsbox.run(["true"], nsbox.BoxSpec(resources=nsbox.Resources(pids_max=9)))
    except nsbox.UnsupportedError as error:
        return f"needs groups of its own: {error}"
    return None


def test_an_example_is_the_same_in_a_notebook(example: Path) -> None:
    source = example.read_text().replace("asyncio.run(main())", "await main()")
    done = in_notebook([source, "print('done')"])
    assert done.stdout.strip() == "done", done.stderr


def test_an_example_is_the_same_beside_threads(example: Path) -> None:
    command = [sys.executable, "-c", BESIDE_THREADS, str(example)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.endswith("done\n"), done.stderr


def test_what_is_watched_is_refreshed_while_other_cells_run() -> None:
    done = in_notebook(WATCHED, tell=SHOW)
    assert done.stdout.split() == ["display_data", "True"], done.stderr
