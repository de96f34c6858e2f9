"""The figures of many groups, read in one call to C, and decoded when they are looked at."""

import contextlib
import functools
import itertools
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from nsbox import _native
from nsbox.cgroup import files, formats, reading
from nsbox.cgroup.reading import Counted, Folders, Readers
from nsbox.cgroup.stats import Stats
from nsbox.frozen import FrozenMap
from nsbox.procfs import decode

Name = tuple[int, str]
"""A file of a group: the version that it is of, and what it is called."""


class Batch:
    """Groups whose files are read together: the first `kept` files of all stay open.

    All groups of a host have the same keys in their files: they are learnt from the first reading,
    and C parses the numbers from then on. What is different after all is parsed here.
    """

    def __init__(
        self,
        groups: Sequence[Folders],
        parts: tuple[str, ...] = reading.PARTS,
        kept: int = 0,
    ) -> None:
        self._layouts: list[Layout] = []
        self._paths: list[str] = []
        for group in groups:
            counted = reading.counted(group, parts)
            self._layouts.append(_layout(counted, group.subsystems))
            self._paths += reading.paths(group, counted)
        self._texts = _native.Texts(self._paths, kept)
        self._learns = kept > 0
        self._closed = False
        self._lock = threading.Lock()  # C reads without the GIL, into memory that there is once

    def read(self) -> "Reading":
        """Read all. Raises `OSError` where a file cannot be read, but not for one that is gone."""
        with self._lock:
            if self._closed:
                raise ValueError("closed")
            found = Reading(*self._texts.read(), self._layouts)
            self._check(found.lengths)
            if self._learns:
                self._learns = False
                self._learn(found)
            return found

    def close(self) -> None:
        """Close what is kept open; nothing is read after that."""
        with self._lock:
            self._closed = True
            self._texts.close()

    def _learn(self, found: "Reading") -> None:
        """Have the numbers parsed by the keys that were found, from the next reading on."""
        forms: dict[Name, tuple[str, ...]] = {}
        for texts in map(found.texts, range(len(found))):
            for place, name in enumerate(texts.layout.names):
                if name not in forms and (keys := _keys(texts.text(place))):
                    forms[name] = keys
        places = {name: place for place, name in enumerate(forms)}
        form_of = [places.get(name, -1) for layout in self._layouts for name in layout.names]
        encoded = [tuple(map(os.fsencode, keys)) for keys in forms.values()]
        self._texts.expect(encoded, form_of)
        new = {layout: layout.expecting(forms) for layout in self._layouts}
        self._layouts = [new[layout] for layout in self._layouts]

    def _check(self, lengths: list[int]) -> None:
        for told in set(lengths):
            if told < 0 and -told not in files.ABSENT:
                raise OSError(-told, os.strerror(-told), self._paths[lengths.index(told)])


class Layout:
    """Which files of a group are read, and where they are found: the same for all of a kind.

    - `names`, in the order of reading, and `parts`, those of `Stats` that they make.
    - `places` in that order, by version and file; and, of what C parses, `keys`: where the numbers
      begin among those of the group, and what they are the numbers of.
    """

    __slots__ = ("_counted", "keys", "names", "parts", "places", "subsystems", "words")

    def __init__(
        self,
        counted: tuple[Counted, ...],
        subsystems: frozenset[str],
        forms: Mapping[Name, tuple[str, ...]] = FrozenMap(),
    ) -> None:
        self._counted = counted
        self.subsystems = subsystems
        self.names = tuple((one.version, one.file) for one in counted)
        self.parts = tuple(dict.fromkeys(one.part for one in counted))
        self.places: dict[int, dict[str, int]] = {1: {}, 2: {}}
        self.keys: dict[int, dict[str, tuple[int, tuple[str, ...]]]] = {1: {}, 2: {}}
        self.words = 0
        for place, (version, file) in enumerate(self.names):
            self.places[version][file] = place
            if (version, file) in forms:
                keys = forms[version, file]
                self.keys[version][file] = self.words, keys
                self.words += len(keys)

    def expecting(self, forms: Mapping[Name, tuple[str, ...]]) -> "Layout":
        """Return the same with the keys of files that C parses."""
        return Layout(self._counted, self.subsystems, forms)


_layout = functools.lru_cache(maxsize=64)(Layout)


class Reading:
    """What the files of all groups said at one time; what is one's own is cut out when wanted."""

    def __init__(
        self, data: bytes, lengths: list[int], numbers: bytes, layouts: Sequence[Layout]
    ) -> None:
        self._data, self.lengths, self._numbers = data, lengths, numbers
        self._layouts = layouts

    def __len__(self) -> int:
        return len(self._layouts)

    @functools.cached_property
    def _begins(self) -> list[tuple[int, int, int]]:
        """Where each group's begin, and where the last one's end: files, bytes and numbers."""
        starts = _starts(self.lengths)
        firsts = itertools.accumulate((len(one.names) for one in self._layouts), initial=0)
        words = itertools.accumulate((one.words for one in self._layouts), initial=0)
        return [
            (file, starts[file], _WORD * word) for file, word in zip(firsts, words, strict=True)
        ]

    def stats(self) -> list[Stats]:
        """Return the figures of all, each decoded when it is first looked at."""
        return [Stats(Undecoded(self, index)) for index in range(len(self))]

    def texts(self, index: int) -> "Texts":
        """Return those of one group; to keep them is not to keep all the others."""
        (file, byte, number), (next_file, next_byte, next_number) = self._begins[index : index + 2]
        return Texts(
            self._layouts[index],
            self._data[byte:next_byte],
            self.lengths[file:next_file],
            self._numbers[number:next_number],
        )


class Texts:
    """What the files of one group said at one time."""

    __slots__ = ("_data", "_lengths", "_numbers", "_starts", "layout")

    def __init__(self, layout: Layout, data: bytes, lengths: list[int], numbers: bytes) -> None:
        self.layout = layout
        self._data = data
        self._lengths = lengths
        self._numbers = numbers
        self._starts: list[int] | None = None

    def stats(self) -> Stats:
        """Decode all."""
        return Stats(FrozenMap(self.parts()))

    def parts(self) -> dict[str, Any]:
        """Decode the parts of `Stats` that are told."""
        return reading.parts(self.readers(), self.layout.parts)

    def readers(self) -> Readers:
        """Return readers of what was read."""
        numbers: list[int] = memoryview(self._numbers).cast("q").tolist()
        one, two = Reader(self, 1, numbers), Reader(self, 2, numbers)
        return Readers(one, two, self.layout.subsystems)

    def text(self, place: int) -> str | None:
        """Return the text of a file, None where it was not there."""
        if self._lengths[place] < 0:
            return None
        if self._starts is None:
            self._starts = _starts(self._lengths)
        return decode(self._data[self._starts[place] : self._starts[place + 1]])


def _starts(lengths: list[int]) -> list[int]:
    """Tell where texts of these lengths begin, and where the last one ends; -errno is of none."""
    there = lengths if min(lengths, default=0) >= 0 else [max(0, length) for length in lengths]
    return list(itertools.accumulate(there, initial=0))


_WORD = 8
_ALONE = ("",)
"""The keys of a file that is one number."""


def _keys(text: str | None) -> tuple[str, ...]:
    """Return the keys of a file whose numbers C can parse, () for any other."""
    if not text:
        return ()
    with contextlib.suppress(ValueError):
        formats.single(text)
        return _ALONE
    with contextlib.suppress(ValueError):
        return tuple(formats.flat(text))
    return ()


class Reader:
    """Gives the files of one version, as `controllers.Read`, and the numbers that C has parsed."""

    __slots__ = ("_keys", "_numbers", "_places", "_texts")

    def __init__(self, texts: Texts, version: int, numbers: list[int]) -> None:
        self._texts = texts
        self._places = texts.layout.places[version]
        self._keys = texts.layout.keys[version]
        self._numbers = numbers

    def __call__(self, file: str) -> str | None:
        """Return the text of a file, None where it was not there."""
        place = self._places.get(file)
        return None if place is None else self._texts.text(place)

    def flat(self, file: str) -> dict[str, int] | None:
        """Return the numbers of a flat keyed file by key, None where they were not parsed."""
        start, keys = self._keys.get(file, _NONE)
        if not keys or self._numbers[start] < 0:
            return None
        return dict(zip(keys, self._numbers[start : start + len(keys)], strict=True))

    def single(self, file: str) -> int | None:
        """Return the number that a file is, None where it was not parsed."""
        start, keys = self._keys.get(file, _NONE)
        if keys != _ALONE or self._numbers[start] < 0:
            return None
        return self._numbers[start]


_NONE: tuple[int, tuple[str, ...]] = 0, ()


class Undecoded(FrozenMap[str, Any]):
    """The parts of `Stats`, each decoded when it is first looked at; else as any other mapping."""

    __slots__ = ("_decoded", "_index", "_reading", "_texts")

    def __init__(self, found: Reading, index: int) -> None:
        self._reading: Reading | None = found
        self._index = index
        self._hash = None

    def _own(self) -> Texts | None:
        """Return what it is decoded from, None once all is."""
        found = self._reading
        if found is not None:
            self._texts: Texts | None = found.texts(self._index)
            self._decoded: dict[str, Any] = {}
            self._reading = None
        return self._texts

    def __getitem__(self, key: str) -> Any:
        texts = self._own()
        if texts is not None and key not in self._decoded and key in texts.layout.parts:
            part = reading.part(texts.readers(), key)
            if part is not None:
                self._decoded[key] = part
        return self._decoded[key]

    @property
    def _items(self) -> Mapping[str, Any]:  # type: ignore[override]
        """All of it, in the order in which it is told."""
        texts = self._own()
        if texts is not None:
            self._decoded = texts.parts()
            self._texts = None  # and with it all that was read
        return self._decoded
