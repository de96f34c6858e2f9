"""What an image says about running it: OCI's configuration, which is docker's too."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Self

import attrs

from nsbox.errors import ImageError
from nsbox.fields import frozen_map, instance_of, is_kernel_text
from nsbox.frozen import FrozenMap


def _words_field(name: str) -> Any:
    def words(value: Iterable[str] | None) -> tuple[str, ...]:
        listed = () if value is None else value
        if isinstance(listed, str | bytes) or not isinstance(listed, Iterable):
            raise ValueError(f"{name}: a sequence of str, one for each word, not {value!r}")
        found = tuple(listed)
        if not all(is_kernel_text(word) for word in found):
            raise ValueError(f"{name}: str without null bytes, not {value!r}")
        return found

    return attrs.field(default=(), converter=words)


def _map(value: Mapping[str, str] | None, field: str) -> FrozenMap[str, str]:
    mapped = frozen_map({} if value is None else value, field)
    for key, content in mapped.items():
        if not isinstance(key, str) or not is_kernel_text(content):
            raise ValueError(f"{field}: maps str to str, not {key!r} to {content!r}")
    return mapped


def _text_field(default: str) -> Any:
    return attrs.field(default=default, validator=instance_of(str))


def _env(value: Mapping[str, str] | None) -> FrozenMap[str, str]:
    mapped = _map(value, "env")
    for name in mapped:
        if not name or "=" in name:
            raise ValueError(f"env: no such variable can be: {name!r}")
    return mapped


def _labels(value: Mapping[str, str] | None) -> FrozenMap[str, str]:
    return _map(value, "labels")


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


def host_architecture() -> str:
    """Return this machine's architecture under the name that Go has for it."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


@attrs.frozen(kw_only=True)
class Config:
    """How an image wants to be run. A value; the fields are those of config.md in OCI's image-spec.

    - `entrypoint`, `cmd`: the command, and the arguments that are easily changed.
    - `env`: its environment. `user`: ``name``, ``uid``, or either with ``:group``.
    - `workdir`: where the command starts. `stop_signal`: what it wants to be ended by.
    - `ports`: such as ``"80/tcp"``; `volumes`: folders for data that is not the image's.
    - `labels`: anything. `architecture`, `os`, `variant`: what it runs on, in Go's words.
    - `created`: RFC 3339, or None. `author`: who made it.

    Raises `ValueError`, naming the field, for what cannot be.
    """

    entrypoint: tuple[str, ...] = _words_field("entrypoint")
    cmd: tuple[str, ...] = _words_field("cmd")
    env: FrozenMap[str, str] = attrs.field(default=FrozenMap(), converter=_env)
    user: str = _text_field("")
    workdir: str = _text_field("")
    ports: tuple[str, ...] = _words_field("ports")
    volumes: tuple[str, ...] = _words_field("volumes")
    labels: FrozenMap[str, str] = attrs.field(default=FrozenMap(), converter=_labels)
    stop_signal: str = _text_field("")
    architecture: str = attrs.field(factory=host_architecture)
    os: str = _text_field("linux")
    variant: str = _text_field("")
    created: str | None = None
    author: str = _text_field("")

    @property
    def args(self) -> tuple[str, ...]:
        """The whole command: the entrypoint, and `cmd` as its arguments."""
        return self.entrypoint + self.cmd

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read a configuration, OCI's or docker's. Raises `ImageError` where it is neither."""
        inner = document.get("config") or {}
        try:
            found = {
                field: inner[key] for field, key in _INNER.items() if inner.get(key) is not None
            }
            found |= {field: document[field] for field in _OUTER if document.get(field) is not None}
            for field in ("ports", "volumes"):
                found[field] = sorted(found.get(field, ()))
            found["env"] = dict(line.partition("=")[::2] for line in found.get("env", ()))
            found["env"].pop("", None)
            return cls(**found)
        except (AttributeError, TypeError, ValueError) as error:
            raise ImageError(f"a broken image configuration: {error}") from None

    def to_json(self, base: Mapping[str, Any] = FrozenMap()) -> dict[str, Any]:
        """Return it as OCI's document, without "rootfs"; what `base` has besides is kept."""
        inner = dict(base.get("config") or {})
        document = {key: value for key, value in base.items() if key not in ("config", "rootfs")}
        lists: dict[str, Any] = {"env": [f"{name}={value}" for name, value in self.env.items()]}
        lists |= {name: {key: {} for key in getattr(self, name)} for name in ("ports", "volumes")}
        for field, key in _INNER.items():
            value = lists.get(field, getattr(self, field))
            value = list(value) if isinstance(value, tuple) else value
            _put(inner, key, dict(value) if isinstance(value, FrozenMap) else value)
        for field in _OUTER:
            _put(document, field, getattr(self, field))
        return document | {"config": inner}


_INNER = {
    "entrypoint": "Entrypoint",
    "cmd": "Cmd",
    "env": "Env",
    "user": "User",
    "workdir": "WorkingDir",
    "ports": "ExposedPorts",
    "volumes": "Volumes",
    "labels": "Labels",
    "stop_signal": "StopSignal",
}
"""Where a field is in the document's "config"."""

_OUTER = ("architecture", "os", "variant", "created", "author")
"""Fields beside the document's "config"."""


def _put(document: dict[str, Any], key: str, value: Any) -> None:
    if value:
        document[key] = value
    else:
        document.pop(key, None)
