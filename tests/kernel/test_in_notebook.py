"""Boxes and functions in boxes from a notebook, whose kernel has a running loop and threads."""

import json
import subprocess
import sys

import pytest

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


RUN = """
import json, sys, nbclient, nbformat
notebook = nbformat.v4.new_notebook()
notebook.cells = [nbformat.v4.new_code_cell(source.strip()) for source in json.load(sys.stdin)]
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
print(notebook.cells[-1].outputs[0].text)
"""


def test_a_notebook_has_all_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(CELLS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "done", done.stderr
