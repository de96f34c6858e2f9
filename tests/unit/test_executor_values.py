"""How calls are carried and results are read: no box, no kernel."""

import io
import json
import math
import pickle
import socket
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nsbox
from nsbox import BoxSpec, Mount, RootFS
from nsbox.executor import carry, inside, messages
from nsbox.executor.settings import Settings


@pytest.fixture(autouse=True)
def _as_in_the_box(monkeypatch):
    """Functions by value are made by the module inside, which has another name there."""
    monkeypatch.setitem(sys.modules, inside.NAME, inside)


def there_and_back(value):
    return pickle.loads(carry.dump_call((value,), cloudpickle=False, magic=carry.MAGIC))[0]


def of_main(source):
    """Define functions as a script does, without being one."""
    scope = {"__name__": "__main__"}
    exec(source, scope)
    return types.SimpleNamespace(**scope)


def test_a_function_that_can_be_imported_travels_by_its_name():
    assert there_and_back(math.floor) is math.floor
    assert there_and_back(json.dumps) is json.dumps
    assert b"dumps" in carry.dump_call((json.dumps,), cloudpickle=False, magic="")


def test_a_function_of_main_travels_by_value_with_what_it_uses():
    main = of_main(
        "import math as m\nK = 2\nUNUSED = open\n"
        "def even(n): return n == 0 or odd(n - 1)\n"
        "def odd(n): return n != 0 and even(n - 1)\n"
        "def area(r, *, k=K): 'Words.'; return m.floor(r * K * k)\n"
        "area.mark = 'kept'\n"
    )
    copy = there_and_back(main.area)
    assert copy is not main.area
    assert (copy(2.6), copy(2, k=5), copy.__doc__, copy.mark) == (10, 20, "Words.", "kept")
    assert copy.__qualname__ == "area"
    even = there_and_back(main.even)
    assert [even(n) for n in range(4)] == [True, False, True, False]


def test_closures_and_lambdas_travel_with_their_cells():
    def outer(k):
        def inner(n):
            return n if n < 1 else k + inner(n - 1)

        return inner

    assert there_and_back(outer(5))(3) == 15
    assert there_and_back(lambda n: n + 1)(1) == 2


def test_a_class_of_main_and_other_bytecode_are_refused_in_words():
    main = of_main("class Own: pass\ndef function(): pass")
    with pytest.raises(pickle.PicklingError, match="cloudpickle"):
        there_and_back(main.Own)
    with pytest.raises(pickle.PicklingError, match="another version"):
        carry.dump_call((main.function,), cloudpickle=False, magic="00")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner)
    | st.frozensets(st.integers()),
    max_leaves=20,
)  # fmt: skip


@given(plain)
def test_plain_results_are_read_as_they_were(value):
    assert carry.load_result(pickle.dumps(value, 5), "plain") == value


class Hostile:
    def __reduce__(self):
        return eval, ("1/0",)


@pytest.mark.parametrize(
    "value",
    [Hostile(), [Hostile()], print, Settings, io.StringIO, ValueError(Hostile()), SystemExit(1),
     range(3), bytearray, KeyboardInterrupt],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)  # fmt: skip
def test_what_is_not_plain_is_refused(value):
    with pytest.raises(pickle.UnpicklingError, match="no plain value"):
        carry.load_result(pickle.dumps(value, 2 if value is bytearray else 5), "plain")


def pickled(value):
    """Pickle as an interpreter does in which no package has said how exceptions are pickled."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.dispatch_table = {}
    pickler.dump(value)
    return buffer.getvalue()


def test_an_exception_is_itself_or_told_in_words():
    head = {"type": "Own", "words": "of this", "traceback": "Traceback ..."}
    error = carry.load_exception(head, pickled(KeyError("a")), "plain")
    assert (type(error), error.args) == (KeyError, ("a",))
    assert "Traceback ..." in str(error.__cause__)
    for body in (b"", b"no pickle", pickle.dumps(Hostile()), pickle.dumps("a string")):
        error = carry.load_exception(head, body, "plain")
        assert isinstance(error, nsbox.RemoteError)
        assert str(error) == "Own: of this"


@given(st.binary(max_size=64))
def test_no_bytes_of_a_worker_are_more_than_an_error(data):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.close()
        try:
            head, _ = messages.receive(ours, 1000, None)
        except (messages.Lost, OSError):
            return
        assert isinstance(head, dict)


def test_a_message_is_received_as_it_was_sent():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        inside.send(theirs, {"kind": "result"}, b"body")
        assert messages.receive(ours, None, None) == ({"kind": "result"}, b"body")
        messages.send(ours, {"a": 1}, b"", None)
        assert inside.receive(theirs) == ({"a": 1}, b"")


@pytest.mark.parametrize(
    ("mounts", "clean"),
    [
        ((), ["/tmp", "/dev/shm"]),
        ((Mount.bind("/etc", "/tmp"),), ["/dev/shm"]),
        ((Mount.bind("/etc", "/tmp/below"),), ["/dev/shm"]),
        ((Mount.bind("/etc", "/tmpfolder"),), ["/tmp", "/dev/shm"]),
        ((Mount.bind("/etc", "/dev/shm"), Mount.bind("/etc", "/tmp")), []),
    ],
    ids=str,
)
def test_only_folders_of_the_boxs_own_are_emptied(mounts, clean):
    settings = Settings(spec=BoxSpec(rootfs=RootFS.system().with_mounts(*mounts)))
    assert settings.first_message()["clean"] == clean


def test_no_folder_of_a_shared_mnt_namespace_is_emptied():
    kinds = nsbox.ISOLATED | {nsbox.NamespaceType.MNT: nsbox.Choice.HOST}
    assert Settings(spec=BoxSpec(namespaces=kinds)).first_message()["clean"] == []


def test_folders_are_emptied_down_to_mount_points(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("x")
    (tmp_path / "kept/mount").mkdir(parents=True)
    (tmp_path / "kept/mount/file").write_text("x")
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "a").chmod(0)
    inside.empty(str(tmp_path), {str(tmp_path / "kept/mount"): ("ext4", "/")})
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "mount", "file"]


def test_an_emptied_folder_is_in_memory_and_was_empty(tmp_path):
    (tmp_path / "file").write_text("x")
    assert inside.own_folders([str(tmp_path), "/proc", "/no/such/folder"]) == []
