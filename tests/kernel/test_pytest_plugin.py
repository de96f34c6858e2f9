"""The plugin at work: other projects' tests, run by a pytest of their own."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import nsbox

pytestmark = pytest.mark.once

Run = Callable[..., "Outcome"]

needs_mounts = pytest.mark.skipif(
    not nsbox.probe().user_namespaces.ok, reason=f"{nsbox.probe().user_namespaces.reason}"
)


class Outcome:
    """What a run of pytest came to, by test."""

    def __init__(self, text: str) -> None:
        self.text = text
        found = re.findall(r"^\S+?::(\S+) ([A-Z]+)", text, re.MULTILINE)
        found += [(name, how) for how, name in re.findall(r"^(ERROR) \S+?::(\S+)", text, re.M)]
        self.by_test = dict(found)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Write tests into a file and run it; the plugin is found by its entry point."""

    def run(source: str, *options: str) -> Outcome:
        file = tmp_path / "test_them.py"
        file.write_text(
            "import asyncio, contextlib, os, pathlib, socket, subprocess, unittest\n"
            "import pytest, nsbox\n" + source
        )
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-v",
                "-p",
                "no:cacheprovider",
                "-o",
                "addopts=",
                "-c",
                os.devnull,
                "-W",
                "ignore",
                "-W",
                "error::ResourceWarning",
                "--rootdir",
                str(tmp_path),
                "--color=no",
                "--basetemp",
                str(tmp_path / "base"),
                *options,
                str(file),
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200"},
            check=False,
        )
        return Outcome(done.stdout + done.stderr)

    return run


INSIDE = """
HOST = socket.gethostname()

@pytest.mark.nsbox(hostname="<one>")
def test_name():
    assert socket.gethostname() == "<one>"

def test_after():
    assert socket.gethostname() == HOST

@pytest.mark.nsbox(namespaces={"net"})
@pytest.mark.parametrize("again", range(2))
def test_port(again):
    with socket.create_server(("127.0.0.1", 8080)):
        socket.create_connection(("127.0.0.1", 8080)).close()

@pytest.mark.nsbox(namespaces={"net"})
class TestCase(unittest.TestCase):
    def setUp(self):
        self.server = socket.create_server(("127.0.0.1", 8080))
        self.addCleanup(self.server.close)
    def test_passes(self):
        socket.create_connection(("127.0.0.1", 8080)).close()
    def test_fails(self):
        self.assertEqual(1, 2)

@pytest.mark.asyncio
@pytest.mark.nsbox(namespaces={"net"})
async def test_loop():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 8080)
    reader, writer = await asyncio.open_connection("127.0.0.1", 8080)
    assert await reader.read() == b""
    writer.close()
    server.close()
"""


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["alone", "xdist"])
def test_tests_run_in_namespaces_of_their_own(run: Run, options: tuple[str, ...]) -> None:
    told = run(INSIDE, *options).text
    assert "6 passed" in told
    assert "1 failed" in told
    assert "AssertionError: 1 != 2" in told


PROCESS = """
@pytest.fixture
def made():
    yield [1]

@pytest.mark.nsbox(namespaces={"mnt"})
def test_mount(made, tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
    (tmp_path / "file").write_text("")
    print("printed in there")
    assert made == [2]

def test_after(tmp_path):
    assert not any(tmp_path.parent.rglob("file"))

@pytest.mark.nsbox(namespaces={"mnt"})
def test_skip():
    pytest.skip("because")

@pytest.mark.xfail(strict=True)
@pytest.mark.nsbox(namespaces={"mnt"})
def test_xfail():
    assert False

@pytest.mark.nsbox(namespaces={"mnt"})
class TestCase(unittest.TestCase):
    def test_fails(self):
        self.assertEqual(1, 2)

@pytest.mark.nsbox(namespaces={"mnt"})
def test_exit():
    os._exit(7)

@pytest.mark.nsbox(namespaces={"mnt"})
def test_interrupt():
    raise KeyboardInterrupt

@pytest.mark.nsbox(namespaces={"mnt"})
def test_box_of_the_parents(box):
    pass

@pytest.mark.nsbox(namespaces={"mnt"})
def test_box_of_its_own(box_factory):
    box = box_factory(hostname="within")
    box.run(["true"], check=True)
    with contextlib.suppress(nsbox.UnsupportedError):
        ROOT.joinpath("groups").write_text("\\n".join(map(str, box.cgroup.folders.values())))

def test_still_here():
    assert os.getpid() == PID

PID = os.getpid()
ROOT = pathlib.Path(__file__).parent
"""


@needs_mounts
@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["alone", "xdist"])
def test_a_test_in_a_process_of_its_own_is_reported_as_any_other(
    run: Run, options: tuple[str, ...], tmp_path: Path
) -> None:
    outcome = run(PROCESS, *options)
    assert "5 failed, 3 passed, 1 skipped, 1 xfailed" in outcome.text
    assert "assert [1] == [2]" in outcome.text
    assert "printed in there" in outcome.text
    assert "AssertionError: 1 != 2" in outcome.text
    assert "the test's own process exited with 7 before it could report" in outcome.text
    assert "start one in the test, by box_factory" in outcome.text
    groups = tmp_path / "groups"
    assert groups.exists() == nsbox.probe().cgroups.writable
    assert not any(map(os.path.exists, groups.read_text().split() if groups.exists() else ()))


def test_the_tests_in_the_document_pass(run: Run) -> None:
    document = Path(__file__).parents[2] / "docs/tests-with-nsbox.md"
    if not document.exists():
        pytest.skip("the documents are not beside the tests")
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text(), re.M | re.S)
    assert re.search(r"5 passed|4 passed, 1 skipped", run("\n".join(blocks)).text)


def test_what_a_marker_cannot_give_is_an_error_before_the_test_is_set_up(run: Run) -> None:
    told = run("""
@pytest.fixture
def never():
    print("was set up")

@pytest.mark.nsbox(namespaces={"pid"})
def test_pid(never):
    pass
""").text
    assert "1 error" in told
    assert "a process stays in its pid namespace for life: use the fixture box" in told
    assert "was set up" not in told


LIMITS = """
@pytest.mark.nsbox(resources={"memory_max": "64M"})
def test_memory():
    b"x" * (200 << 20)

@pytest.mark.nsbox(resources={"pids_max": 30})
def test_few():
    assert True

def test_group(cgroup):
    assert cgroup.exists
    assert not cgroup.pids
"""


def test_limits_hold_for_the_test_and_not_for_pytest(run: Run) -> None:
    told = run(LIMITS).text
    report = nsbox.probe().cgroups
    if not report.writable:
        assert "3 skipped" in told
        assert f"{report.reason}"[:60] in run(LIMITS, "-rs").text
        assert "remedy: " in run(LIMITS, "-rs").text
        return
    assert "2 passed" in told
    assert "1 failed" in told
    assert "was ended by SIGKILL before it could report" in told
    assert "OOM kills 1" in told


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["alone", "xdist"])
def test_a_failure_tells_of_its_boxes(run: Run, options: tuple[str, ...]) -> None:
    source = """
def test_box(box_factory):
    box = box_factory(hostname="web")
    box.run(["sh", "-c", "echo said; echo complained >&2"], capture_output=True)
    with pytest.raises(subprocess.TimeoutExpired):
        box.run(["sleep", "60"], timeout=0.1)
    assert box.run(["false"]).returncode == 0
"""
    told = run(source, *options).text
    assert "nsbox <Box 'web' pid=" in told
    assert "BoxSpec(hostname='web')" in told
    assert re.search(r"plan of \d+ steps: .*clone3", told)
    assert "$ sh -c 'echo said; echo complained >&2'\n  returned 0 after" in told
    assert "  stdout: said\n  stderr: complained\n" in told
    assert "$ sleep 60\n  ended after 0.1 s, which was its timeout" in told
    assert "used: " in told
    assert "object at 0x" not in told


def test_a_box_that_cannot_start_tells_the_step(run: Run) -> None:
    told = run("""
def test_box(box_factory):
    box_factory(rootfs=nsbox.RootFS.directory("/no/such/tree"))
""").text
    assert "1 failed" in told
    assert re.search(r'^> +\d+  root = open_tree\(AT_FDCWD, "/no/such/tree"', told, re.M)
    assert "hint: /no/such/tree does not exist" in told
    assert "lower.py" not in told


OTHERS = """
@pytest.mark.asyncio
async def test_in_a_loop(box):
    done, = await asyncio.gather(asyncio.to_thread(box.run, ["id", "-u"], capture_output=True))
    assert done.stdout == b"0\\n"
    assert (await nsbox.aio.run(["true"])).returncode == 0

class TestCase(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _box(self, box_factory):
        self.box = box_factory(hostname="case")
    def test_it(self):
        self.assertEqual(self.box.run(["hostname"], capture_output=True).stdout, b"case\\n")

@pytest.mark.asyncio
@pytest.mark.nsbox(namespaces={"mnt"})
async def test_a_loop_in_a_process_of_its_own(tmp_path):
    process = await asyncio.create_subprocess_exec("mount", "-t", "tmpfs", "none", str(tmp_path))
    assert await process.wait() == 0
"""


@needs_mounts
def test_fixtures_serve_coroutines_and_classes_of_unittest(run: Run) -> None:
    assert "3 passed" in run(OTHERS, "-n2").text


NETWORK = """
def test_netns(netns):
    assert netns.pids() == ()
    assert netns != nsbox.Namespace.current(nsbox.NamespaceType.NET)
"""


def test_a_network_is_there_or_the_reason_why_not(run: Run) -> None:
    assert re.search("1 (passed|skipped)", run(NETWORK).text)


MACHINES = """
def test_machines(machines):
    server, client = machines(2)
    assert [server.spec.hostname, client.spec.hostname] == ["node0", "node1"]
    assert server.address in client.run(["getent", "hosts", "node0"], capture_output=True, text=True).stdout
    assert machines.network.machines[0].address == server.address
    machines.network.partition([server], [client])
    machines.network.heal()
    assert "2 machines" in machines.network._repr_html_()
    print(repr(machines))

def test_none_are_started_unless_asked_for(machines):
    pass
"""


def test_machines_are_on_a_network_of_the_tests_own(run: Run) -> None:
    pytest.importorskip("pyroute2", reason="needs the extra nsbox[net]")
    told = run(MACHINES, "-s").text
    assert "2 passed" in told
    assert "<Machines of test_machines>" in told


def test_where_no_namespace_can_be_made_tests_are_skipped_with_reason_and_remedy(
    root: None, run: Run
) -> None:
    # In a user namespace of its own, where that is a limit of nobody else's: namespaces(7).
    source = """
@pytest.fixture(scope="session", autouse=True)
def forbidden():
    with open("/proc/sys/user/max_net_namespaces", "w") as file:
        file.write("0")

def test_box(box):
    pass

@pytest.mark.nsbox(namespaces={"net"})
def test_marked():
    pass
"""
    prefix = ["unshare", "--user", "--map-root-user"]
    real, sys_executable = subprocess.run, sys.executable

    def within(command, **options):
        return real([*prefix, *command], **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", within)
        told = run(source, "-rs").text
    assert "2 skipped" in told, (told, sys_executable)
    assert "the sysctl user.max_net_namespaces is 0" in told
    assert "remedy: sysctl -w user.max_net_namespaces=10000" in told


@pytest.mark.parametrize("options", [(), ("-p", "nsbox.pytest_plugin"), ("-n4",)])
def test_the_example_passes(options: tuple[str, ...]) -> None:
    example = Path(__file__).parents[2] / "docs/examples/07_fixture.py"
    if not example.exists():
        pytest.skip("the examples are not beside the tests")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "-W",
            "ignore",
            *options,
            str(example),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"[67] passed", done.stdout)
