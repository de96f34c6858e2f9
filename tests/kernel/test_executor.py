"""Python functions in boxes: what concurrent.futures promises, and what the box adds."""

import concurrent.futures
import os
import pathlib
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from below import until

import nsbox
from nsbox import BoxExecutor, BoxSpec, Mount, RootFS

cloudpickle = pytest.importorskip("cloudpickle")
# This file is no module that could be imported in a box, so its functions are sent by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

KINDS = ["process", "box", "none"]
SPEC = BoxSpec(rootfs=RootFS.system(python=True), hostname="worker")


IN_ONE_BOX: dict[str, Any] = {"python": sys.executable}
"""What has the calls of isolation "process" share the box of their worker."""


@pytest.fixture(params=[*({"isolation": kind} for kind in KINDS), IN_ONE_BOX], ids=str)
def executor(request: pytest.FixtureRequest) -> Iterator[BoxExecutor]:
    with BoxExecutor(SPEC, max_workers=1, **request.param) as made:
        yield made


def where() -> tuple[str, int]:
    import socket

    return socket.gethostname(), os.getuid()


def fail(words: str) -> None:
    raise LookupError(words)


def sized(count: int) -> bytes:
    return b"x" * count


def spin() -> None:
    while True:
        pass


class Strange(Exception):  # noqa: N818
    """Pickled, but not to be built again from its args."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one + two)


def strange() -> None:
    raise Strange(1, 2)


def test_it_is_an_executor(executor: BoxExecutor) -> None:
    assert isinstance(executor, concurrent.futures.Executor)
    assert executor.submit(where).result() == ("worker", 0)
    assert list(executor.map(pow, range(10), [2] * 10)) == [n * n for n in range(10)]
    assert executor.submit(int, "ff", base=16).result() == 255


def test_an_exception_arrives_with_its_traceback(executor: BoxExecutor) -> None:
    error = executor.submit(fail, "of this").exception()
    assert type(error) is LookupError
    assert error.args == ("of this",)
    shown = "".join(traceback.format_exception(error))
    assert "in fail" in shown
    assert "raise LookupError(words)" in shown or "LookupError: of this" in shown
    assert executor.submit(pow, 2, 3).result() == 8


def test_what_cannot_be_brought_over_is_told_in_words(executor: BoxExecutor) -> None:
    error = executor.submit(strange).exception()
    assert isinstance(error, nsbox.RemoteError)
    assert str(error) == "Strange: 3"
    assert isinstance(executor.submit(threading.Lock).exception(), TypeError)
    assert isinstance(executor.submit(len, threading.Lock()).exception(), TypeError)
    assert executor.submit(pow, 2, 3).result() == 8


@pytest.mark.parametrize("size", [0, 1, 65535, 1 << 16, 10_000_000])
def test_results_and_arguments_have_any_size(executor: BoxExecutor, size: int) -> None:
    assert executor.submit(sized, size).result() == b"x" * size
    assert executor.submit(len, b"x" * size).result() == size


def test_a_worker_that_dies_takes_its_call_and_no_other(executor: BoxExecutor) -> None:
    futures = [executor.submit(os._exit, 3), *(executor.submit(pow, 2, n) for n in range(5))]
    error = futures[0].exception()
    assert isinstance(error, nsbox.WorkerDied)
    assert error.returncode == 3
    assert [future.result() for future in futures[1:]] == [1, 2, 4, 8, 16]
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.returncode) == (str(error), 3)


def test_death_by_a_signal_is_told(executor: BoxExecutor) -> None:
    error = executor.submit(lambda: os.kill(os.getpid(), 9)).exception()
    assert isinstance(error, nsbox.WorkerDied)
    assert error.returncode == -9


def test_a_future_tells_what_its_call_used(executor: BoxExecutor) -> None:
    future = executor.submit(lambda: sum(range(3_000_000)))
    future.result()
    assert future.usage is not None
    assert 0 < future.usage.cpu_seconds < 60
    assert future.usage.wall_seconds > 0
    assert future.usage.memory_peak > 1 << 20


def wait_for_go() -> None:
    for _ in range(6000):
        if os.path.exists("/shared/go"):
            break
        time.sleep(0.01)


def test_states_and_callbacks_are_those_of_a_process_pool(tmp_path: pathlib.Path) -> None:
    spec = attrs.evolve(SPEC, rootfs=SPEC.rootfs.with_mounts(Mount.bind(tmp_path, "/shared")))
    with BoxExecutor(spec, max_workers=1) as executor:
        running = executor.submit(wait_for_go)
        waiting, second = executor.submit(pow, 2, 2), executor.submit(pow, 2, 5)
        until(running.running)
        assert not running.cancel()
        assert waiting.cancel()
        seen: list[Any] = []
        second.add_done_callback(seen.append)
        (tmp_path / "go").touch()
        assert second.result() == 32
        with pytest.raises(concurrent.futures.CancelledError):
            waiting.result()
        done, left = concurrent.futures.wait([running, waiting, second])
        assert (len(done), len(left)) == (3, 0)
    assert seen == [second]


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_takes_too_long_is_ended(kind: Any) -> None:
    def is_done_in_time() -> bool:
        try:
            return bool(executor.submit(pow, 2, 3).result() == 8)
        except TimeoutError:  # the machine has stalled
            return False

    with BoxExecutor(SPEC, max_workers=1, isolation=kind, timeout=0.3) as executor:
        assert isinstance(executor.submit(spin).exception(), TimeoutError)
        until(is_done_in_time)


@pytest.mark.parametrize("kind", KINDS)
def test_memory_and_output_have_their_limits(kind: Any) -> None:
    limits: dict[str, Any] = {"memory_max": "150M", "output_max": "1M"}
    with BoxExecutor(SPEC, max_workers=1, isolation=kind, **limits) as executor:
        assert isinstance(executor.submit(lambda: len(b"x" * (300 << 20))).exception(), MemoryError)
        error = executor.submit(sized, 2 << 20).exception()
        assert isinstance(error, OSError)
        assert "output_max" in str(error)
        assert len(executor.submit(sized, 1 << 19).result()) == 1 << 19


def test_preloaded_modules_are_there_before_the_call() -> None:
    with BoxExecutor(SPEC, max_workers=1, preload=("decimal", "sqlite3")) as executor:
        assert executor.submit(lambda: {"decimal", "sqlite3"} <= set(sys.modules)).result()
    with BoxExecutor(SPEC, max_workers=1, preload=("no_such_module",)) as executor:
        error = executor.submit(pow, 2, 2).exception()
        assert isinstance(error, ModuleNotFoundError)


def test_plain_results_run_nothing_of_the_boxs() -> None:
    values = [1, 2.5, 3j, "s", b"b", None, True, (1, [2]), {"a": {1}}, frozenset((1,))]
    with BoxExecutor(SPEC, max_workers=1, results="plain") as executor:
        assert executor.submit(list, values).result() == values
        assert isinstance(executor.submit(int, "x").exception(), ValueError)
        refused = executor.submit(pathlib.Path, "/").exception()
        assert isinstance(refused, pickle.UnpicklingError)
        assert "pathlib" in str(refused)
        assert isinstance(executor.submit(sys.exit, 3).exception(), nsbox.RemoteError)


def test_a_root_without_the_interpreter_is_told_of() -> None:
    with BoxExecutor(BoxSpec(), max_workers=1, python="/no/such/python") as executor:
        error = executor.submit(pow, 2, 2).exception()
    assert isinstance(error, FileNotFoundError)
    assert isinstance(error, nsbox.StepError)
    assert any("python=True" in note for note in error.__notes__)


def test_another_interpreter_serves_as_well() -> None:
    if not os.path.exists("/usr/bin/python3"):
        pytest.skip("needs /usr/bin/python3")
    with BoxExecutor(BoxSpec(), max_workers=1, python="/usr/bin/python3") as executor:
        assert executor.submit(pow, 2, 10).result() == 1024


@pytest.mark.parametrize("with_cloudpickle", [True, False])
def test_functions_of_a_script_are_sent_by_value(tmp_path: Any, with_cloudpickle: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, math\n"
        f"if not {with_cloudpickle}: sys.modules['cloudpickle'] = None\n"
        "import nsbox\n"
        "FACTOR = 3\n"
        "def helper(n): return n * FACTOR if n < 2 else helper(n - 1) + math.floor(2.5)\n"
        "def outer(k):\n"
        "    def inner(n=5, *, more=1): return helper(n) + k + more\n"
        "    return inner\n"
        "with nsbox.BoxExecutor(max_workers=1) as executor:\n"
        "    print(*executor.map(helper, range(5)), executor.submit(outer(10), more=2).result())\n"
        "    print(executor.submit(lambda: [helper(n) for n in range(3)]).result())\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "0 3 5 7 9 23\n[0, 3, 5]\n", done.stderr


def test_what_calls_print_goes_where_it_is_told(tmp_path: Any) -> None:
    with (
        open(tmp_path / "out", "w+b") as file,
        BoxExecutor(SPEC, max_workers=1, stdout=file) as executor,
    ):
        executor.submit(print, "printed").result()
        file.seek(0)
        assert file.read() == b"printed\n"


def test_files_of_the_callers_are_never_emptied(tmp_path: Any) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("kept")
    for target in ("/tmp", "/tmp/below"):
        rootfs = RootFS.system(python=True).with_mounts(Mount.bind(tmp_path / "a", target))
        with BoxExecutor(BoxSpec(rootfs=rootfs), max_workers=1) as executor:
            assert executor.submit(os.listdir, target).result() == ["file"]
            assert executor.submit(os.listdir, target).result() == ["file"]
        assert (tmp_path / "a/file").read_text() == "kept"


def test_the_longest_timeout_is_one_that_a_call_can_have() -> None:
    with BoxExecutor(max_workers=1, timeout=2_147_483) as executor:
        assert executor.submit(pow, 2, 5).result(timeout=60) == 32


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_workers": 0},
        {"isolation": "thread"},
        {"timeout": -1},
        {"timeout": float("inf")},
        {"timeout": float("nan")},
        {"timeout": 30 * 86400},
        {"results": "json"},
        {"preload": "numpy"},
        {"memory_max": "lots"},
        {"spec": BoxSpec(namespaces=nsbox.ISOLATED | {nsbox.NamespaceType.PID: nsbox.Choice.HOST})},
        {"spec": BoxSpec(init=False)},
    ],
    ids=str,
)
def test_nonsense_is_a_value_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="|".join(wrong).replace("spec", "isolation")):
        BoxExecutor(**wrong)
