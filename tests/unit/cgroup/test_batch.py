"""Files read together, and their numbers as C parses them: the same as by `formats`, or none."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsbox import Cgroup, _native
from nsbox.cgroup import files, formats, reading
from nsbox.cgroup.batch import Batch

from .test_trees import below, tree  # noqa: F401 - the corpus

NUMBERS = st.one_of(st.integers(0, 1 << 70).map(str), st.text("0123456789 -+_٣x", max_size=4))
LINES = st.tuples(st.sampled_from(["a", "b", "total_a", "a b", ""]), NUMBERS)
TEXTS = st.one_of(
    st.lists(LINES.map(" ".join), max_size=4).map(lambda lines: "".join(f"{x}\n" for x in lines)),
    NUMBERS.map("{}\n".format),
    st.text(max_size=20),
)


def parsed(text: str) -> dict[str, int] | None:
    """What Python makes of a text: the numbers by key, one alone by an empty key."""
    for parse in (lambda text: {"": formats.single(text)}, formats.flat):
        try:
            return parse(text)
        except ValueError:
            continue
    return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(first=TEXTS, second=TEXTS)
def test_c_parses_what_has_the_keys_that_it_expects_and_nothing_else(tmp_path, first, second):
    file = tmp_path / "file"
    keys = parsed(first)
    if not keys or any("\0" in key for key in keys):
        return
    texts = _native.Texts([str(file)])
    texts.expect([tuple(map(os.fsencode, keys))], [0])
    for text in (first, second):
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        _, _, told = texts.read()
        numbers = memoryview(told).cast("q").tolist()
        wanted = parsed(text)
        if wanted is not None and list(wanted) == list(keys) and max(wanted.values()) < 1 << 63:
            assert (numbers == list(wanted.values())) is (text.endswith("\n") or numbers[0] >= 0)
        else:
            assert numbers[0] == -1


def test_long_files_and_many_are_read_whole(tmp_path):
    long = "".join(f"{number}\n" for number in range(100_000))
    wanted = [long if number % 7 == 0 else f"{number}\n" for number in range(30)]
    paths = []
    for number, text in enumerate(wanted):
        path = tmp_path / str(number)
        path.write_text(text)
        paths.append(str(path))
    texts = _native.Texts([*paths, str(tmp_path / "none"), str(tmp_path)], 10)
    for _ in range(2):
        data, lengths, _ = texts.read()
        assert data.decode() == "".join(wanted)
        assert lengths[:30] == [len(text) for text in wanted]
        assert lengths[30:] == [-2, -21]  # ENOENT, EISDIR
    texts.close()
    texts.close()
    assert _native.Texts([]).read() == (b"", [], b"")


def test_a_batch_tells_of_real_trees_what_reading_each_file_does(tree):  # noqa: F811
    root, told = tree
    for name in told["groups"]:
        group = Cgroup.open(below(root, name) if name.startswith("/") else name, root=root)
        folders = reading.Folders.of(group.folders, group.subsystems)
        plain = reading.parts(folders.readers(), reading.PARTS)
        batch = Batch([folders, folders], kept=1000)
        try:
            for _ in range(3):
                found = batch.read()
                for index, stats in enumerate(found.stats()):
                    assert found.texts(index).parts() == plain
                    assert stats == group.stats()
        finally:
            batch.close()


def test_what_cannot_be_read_is_told_with_its_path(tmp_path: Path):
    folder = tmp_path / "group"
    (folder / "pids.current").mkdir(parents=True)
    folders = reading.Folders({}, str(folder), frozenset({"pids"}))
    batch = Batch([folders])
    with pytest.raises(IsADirectoryError, match=r"pids\.current"):
        batch.read()


def test_all_files_with_figures_are_known(tree):  # noqa: F811
    """What is read for figures is listed: a batch reads no other."""
    root, told = tree
    for name in told["groups"]:
        group = Cgroup.open(below(root, name) if name.startswith("/") else name, root=root)
        folders = reading.Folders.of(group.folders, group.subsystems)
        asked = set()

        def read(path_of, file, asked=asked):
            path = path_of(file)
            text = None if path is None else files.read(path)
            if text is not None:
                asked.add(path)
            return text

        readers = reading.Readers(
            lambda file, of=folders.path_v1: read(of, file),
            lambda file, of=folders.path_v2: read(of, file),
            folders.subsystems,
        )
        reading.parts(readers, reading.PARTS)
        listed = reading.paths(folders, reading.counted(folders, reading.PARTS))
        assert asked <= set(listed)
