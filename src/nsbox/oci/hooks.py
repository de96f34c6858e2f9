"""Hooks: programs that are run as a container comes and goes. config.md, "POSIX-platform Hooks"."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from nsbox.commands import check_environment
from nsbox.errors import NsboxError
from nsbox.fields import is_kernel_text
from nsbox.oci.document import Node, invalid, named

NAMES = (
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
)  # fmt: skip
"""In the order of their moments."""

BEFORE_ROOT = NAMES[:3]
"""Those that come before the container's root is entered."""


class HookError(NsboxError):
    """A hook failed: it could not be run, ran too long, or ended with another status than 0."""


@attrs.frozen
class Hook:
    """A program that is run at one of the moments; `timeout` in seconds, None for no end."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    timeout: int | None = None

    @property
    def argv(self) -> tuple[str, ...]:
        """Its arguments from argv[0] on, which need not be its path."""
        return self.args or (self.path,)


Hooks = Mapping[str, tuple[Hook, ...]]


def read(config: Node) -> dict[str, tuple[Hook, ...]]:
    """Read the hooks of a configuration, by the name of their moment."""
    node = config.child("hooks")
    found = {name: tuple(_read(one) for one in node.nodes(name)) for name in NAMES}
    return {name: hooks for name, hooks in found.items() if hooks}


def _read(node: Node) -> Hook:
    path, args = node.need("path", str), tuple(node.texts("args"))
    if not path.startswith("/") or not all(map(is_kernel_text, (path, *args))):
        raise invalid(node.at("path"), f"an absolute path, and arguments, not {(path, *args)!r}")
    if node.has("timeout") and node.get("timeout", int, 0) <= 0:
        raise invalid(node.at("timeout"), "seconds, more than 0")
    env = []
    for number, entry in enumerate(node.texts("env")):
        name, _, value = entry.partition("=")
        with named(f"{node.at('env')}[{number}]"):
            check_environment("env", {name: value})
        env.append((name, value))
    return Hook(path, args, tuple(env), node.get("timeout", int, 0) or None)


def run(hooks: Iterable[Hook], moment: str, state: Mapping[str, Any]) -> None:
    """Run hooks where the caller is, in their order, each with the state on its standard input.

    Raises `HookError` for the first that fails.
    """
    for hook in hooks:
        try:
            done = subprocess.run(
                hook.argv,
                executable=hook.path,
                env=dict(hook.env),
                input=json.dumps(state).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=hook.timeout,
                check=False,
            )
        except OSError as error:
            raise failed(moment, hook, str(error)) from error
        except subprocess.TimeoutExpired:
            raise failed(moment, hook, f"not done within {hook.timeout} s") from None
        check(moment, hook, done.returncode, done.stdout)


def check(moment: str, hook: Hook, returncode: int, output: bytes) -> None:
    """Raise `HookError` for a hook that ended with another status than 0."""
    if returncode:
        said = output[-500:].decode(errors="replace").strip()
        raise failed(moment, hook, f"ended with {returncode}{': ' if said else ''}{said}")


def failed(moment: str, hook: Hook, reason: str) -> HookError:
    """Return the error for a hook."""
    return HookError(f"hooks.{moment}: {hook.path}: {reason}")
