"""A mapping that is a value."""

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value", covariant=True)


class FrozenMap(Mapping[Key, Value]):
    """A mapping that never changes: hashable, picklable, joined with ``|`` as a dict is."""

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Mapping[Key, Value] | None = None) -> None:
        self._items: dict[Key, Value] = dict(items or {})
        self._hash: int | None = None

    def __getitem__(self, key: Key) -> Value:
        return self._items[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    # Those of Mapping ask for each value by its key; a box's start goes through some of these.
    def items(self) -> ItemsView[Key, Value]:
        """Return the dict's own view."""
        return self._items.items()

    def values(self) -> ValuesView[Value]:
        """Return the dict's own view."""
        return self._items.values()

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._items.items()))
        return self._hash

    def __or__(self, other: Mapping[Key, Any]) -> "FrozenMap[Key, Any]":
        return FrozenMap({**self._items, **other})

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenMap, (self._items,)

    def __repr__(self) -> str:
        return f"FrozenMap({self._items!r})"
