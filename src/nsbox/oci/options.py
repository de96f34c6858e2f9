"""The options of a mount: config-linux.md and mount(8), as the runtimes read them."""

import re
from typing import Literal

import attrs

from nsbox.oci.document import Node, unsupported
from nsbox.rootfs.mount import BindMount

_OFF = {"rw": "ro", "suid": "nosuid", "dev": "nodev", "exec": "noexec"}
_ON = frozenset(_OFF.values())

_TIMES = ("atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime")
_IGNORED = {"defaults", "async", "silent", "loud", "lazytime", "nolazytime", "nostrictatime"}
_IGNORED |= {*_TIMES, *(f"r{name}" for name in (*_TIMES, "nostrictatime"))}
"""Without effect on what a box sees of its files."""

_PROPAGATION: dict[str, Literal["private", "slave", "shared"]] = {
    "private": "private",
    "rprivate": "private",
    "slave": "slave",
    "rslave": "slave",
    "shared": "shared",
    "rshared": "shared",
}

_NUMBER = re.compile(r"[0-7]{1,7}", re.ASCII)


@attrs.define
class Options:
    """The options of one mount, sorted; `values` is what its kind alone can read."""

    path: str
    on: set[str] = attrs.field(factory=set)
    off: set[str] = attrs.field(factory=set)
    bind: str | None = None  # or "bind", "rbind"
    propagation: Literal["private", "slave", "shared"] = "private"
    idmap: str | None = None  # or "idmap", "ridmap"
    values: dict[str, str] = attrs.field(factory=dict)

    @classmethod
    def read(cls, mount: Node) -> "Options":
        """Sort the options of a mount; of two that contradict each other the later holds."""
        options = cls(mount.at("options"))
        for text in mount.texts("options"):
            options._add(text)
        return options

    def _add(self, text: str) -> None:
        plain = text[1:] if text[:1] == "r" and text[1:] in {*_ON, *_OFF} else text
        if plain in _ON:
            self.on.add(plain)
            self.off.discard(plain)
        elif plain in _OFF:
            self.on.discard(_OFF[plain])
            self.off.add(_OFF[plain])
        elif text in ("bind", "rbind"):
            self.bind = text
        elif text in ("idmap", "ridmap"):
            self.idmap = text
        elif text in _PROPAGATION:
            self.propagation = _PROPAGATION[text]
        elif text not in _IGNORED:
            name, _, value = text.partition("=")
            self.values[name] = value

    def check_map(self, *, mapped: bool) -> None:
        """Refuse a map that is asked for and not there."""
        if self.idmap and not mapped:
            raise unsupported(self.path, f"{self.idmap} takes maps of ids beside it")

    def refuse_off(self, *names: str) -> None:
        """Refuse that an attribute is off that is always on."""
        for name in names:
            if name in self.off:
                raise unsupported(self.path, f"what is mounted here is always {name}")

    def refuse_rest(self) -> None:
        """Refuse what nobody has read."""
        for name, value in self.values.items():
            raise unsupported(self.path, f"{name}={value}" if value else name)

    def mode(self, default: int) -> int:
        """Return the permission bits."""
        text = self.values.pop("mode", f"{default:o}")
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"mode: octal digits, not {text!r}")
        return int(text, 8)


def bind_options(mount: BindMount) -> list[str]:
    """Write the options of a bind mount; the attributes hold below it, too."""
    wanted = {
        "ro": mount.readonly,
        "nosuid": mount.nosuid,
        "nodev": mount.nodev,
        "noexec": mount.noexec,
    }
    names = [name for name, is_on in wanted.items() if is_on]
    deep = "r" if mount.recursive else ""
    below = [f"r{name}" for name in names] if mount.recursive else []
    return [f"{deep}bind", f"{deep}{mount.propagation}", *names, *below]
