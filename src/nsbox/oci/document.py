"""A configuration read with its JSON paths: what is refused is named by where it stands."""

import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import attrs

from nsbox.errors import UnsupportedError

Kind = TypeVar("Kind")

_NAMES = {str: "a string", int: "a whole number", bool: "true or false", list: "an array"}


def invalid(path: str, reason: str) -> ValueError:
    """Return the error for what no configuration may say."""
    return ValueError(f"{path}: {reason}")


def unsupported(path: str, reason: str) -> UnsupportedError:
    """Return the error for what cannot be honoured."""
    return UnsupportedError(f"{path}: {reason}")


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
    """Name the place in the configuration in what a value of ours refuses."""
    try:
        yield
    except ValueError as error:
        raise invalid(path, str(error)) from None


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


@attrs.frozen
class Node:
    """An object of the document, and its path: `""` for the whole."""

    path: str
    members: dict[str, Any]

    @classmethod
    def of(cls, path: str, value: Any) -> "Node":
        """Take an object; refuse all else."""
        if not isinstance(value, dict):
            raise invalid(path or "configuration", f"an object, not {value!r}")
        return cls(path, value)

    def at(self, name: str) -> str:
        """Return the path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Whether a member is there, and not null."""
        return self.members.get(name) is not None

    def get(self, name: str, kind: type[Kind], default: Kind) -> Kind:
        """Return a member of this kind; the default where it is missing or null."""
        value = self.members.get(name)
        if value is None:
            return default
        if not _is(value, kind):
            raise invalid(self.at(name), f"{_NAMES[kind]}, not {value!r}")
        return value  # type: ignore[no-any-return]

    def need(self, name: str, kind: type[Kind]) -> Kind:
        """Return a member that must be there."""
        if not self.has(name):
            raise invalid(self.at(name), "it is missing")
        return self.get(name, kind, cast(Kind, None))

    def child(self, name: str) -> "Node":
        """Return a member that is an object; an empty one where it is missing."""
        return Node.of(self.at(name), self.members[name] if self.has(name) else {})

    def nodes(self, name: str) -> list["Node"]:
        """Return the objects of an array."""
        listed: list[Any] = self.get(name, list, [])
        return [Node.of(f"{self.at(name)}[{number}]", one) for number, one in enumerate(listed)]

    def texts(self, name: str) -> list[str]:
        """Return the strings of an array."""
        listed: list[Any] = self.get(name, list, [])
        for number, one in enumerate(listed):
            if not isinstance(one, str):
                raise invalid(f"{self.at(name)}[{number}]", f"a string, not {one!r}")
        return listed

    def refuse(self, reasons: dict[str, str]) -> None:
        """Refuse members that are there and say something; by name, why."""
        for name, reason in reasons.items():
            if self.members.get(name):
                raise unsupported(self.at(name), reason)
