"""Commands that were made before, known again for another run of the same."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from nsbox.launch import Command
    from nsbox.lowered import Lowered
    from nsbox.spec import BoxSpec

MOST = 64
"""How many of each there are."""

_K = TypeVar("_K")
_V = TypeVar("_V")


class Key(NamedTuple):
    """What a command is made of, as far as it never changes; without arguments none is run.

    `env` is as its variables were given, None where they are the spec's.
    """

    spec: "BoxSpec"
    args: tuple[str, ...] | None = None
    env: tuple[tuple[str, str], ...] | None = None

    @classmethod
    def of(cls, spec: "BoxSpec", args: Any, env: Mapping[Any, Any] | None) -> "Key | None":
        """Return that of strings alone: what a path is may change with what made it."""
        if not isinstance(args, _LISTS) or {*map(type, args)} != _TEXT:
            return None
        if env is None:
            return cls(spec, tuple(args))
        if type(env) is not dict or not {*map(type, env), *map(type, env.values())} <= _TEXT:
            return None
        return cls(spec, tuple(args), tuple(env.items()))


class Known:
    """The commands that were made from one lowering, or from its quickest.

    They are found by an equal key, and at one look by the very spec and arguments of the last run
    of these.
    """

    def __init__(self) -> None:
        self._by_key: dict[Hashable, tuple[Lowered, Command]] = {}
        self._by_text: dict[str, tuple[BoxSpec, int, Lowered, Command]] = {}

    def recall(self, key: Hashable, lowered: "Lowered") -> "Command | None":
        """Return the command of this key that was made from `lowered`, if there is one."""
        found = self._by_key.get(key) if key else None
        if found is None or found[0] is not lowered:
            return None
        self._show(key, *found)
        return found[1]

    def glance(self, spec: "BoxSpec", args: Any) -> "tuple[Lowered, Command] | None":
        """Return that of the very spec and these arguments, and what it was made from."""
        if type(args) not in _LISTS:
            return None
        try:
            found = self._by_text.get("\0".join(args))
        except TypeError:  # one of them is more, or less, than text
            return None
        # As many, so that none has a NUL in it.
        if found is None or found[0] is not spec or found[1] != len(args):
            return None
        return found[2:]

    def note(self, key: Hashable, lowered: "Lowered", command: "Command") -> None:
        """Have a command known again, if it has a key."""
        if key:
            remember(self._by_key, key, (lowered, command))
            self._show(key, lowered, command)

    def clear(self) -> None:
        """Let go of all: what they were made from holds descriptors, and leads back to this."""
        self._by_key.clear()
        self._by_text.clear()

    def _show(self, key: Hashable, lowered: "Lowered", command: "Command") -> None:
        if not isinstance(key, Key) or key.args is None or key.env is not None:
            return
        text = "\0".join(key.args)
        shown = self._by_text.get(text)
        if shown is None or shown[0] is not key.spec or shown[3] is not command:
            remember(self._by_text, text, (key.spec, len(key.args), lowered, command))


def remember(kept: dict[_K, _V], key: _K, value: _V, most: int = MOST) -> list[_V]:
    """Keep it as the latest; return those that go: the one that it replaces, and the oldest."""
    gone = [kept.pop(key, None)]
    kept[key] = value
    gone += [kept.pop(oldest, None) for oldest in list(kept)[:-most]]
    return [one for one in gone if one is not None]


_LISTS, _TEXT = (list, tuple), {str}
