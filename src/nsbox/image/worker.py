"""Who unpacks and removes: this process, or one in a user namespace where more ids are mapped."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from nsbox.errors import ImageError, NsboxError, UnsupportedError
from nsbox.image.extract import Extracted
from nsbox.image.layer import Layer
from nsbox.image.limits import Limits
from nsbox.image.remove import remove_tree
from nsbox.image.span import Span
from nsbox.image.unpack import unpack_over
from nsbox.namespace import Choice, IDMap, NamespaceType
from nsbox.pipes import PIPE
from nsbox.running import popen
from nsbox.spec import BoxSpec


class Worker(Protocol):
    """What a store has done for it."""

    def unpack(
        self,
        layer: Layer,
        folder: str,
        below: Sequence[str],
        limits: Limits,
        done: Callable[[int], None],
    ) -> Extracted:
        """See `unpack_over`."""

    def remove(self, folder: str) -> None:
        """See `remove_tree`."""


class Here:
    """This process."""

    unpack = staticmethod(unpack_over)
    remove = staticmethod(remove_tree)


class Inside:
    """A process in a user namespace of this map, with the caller's files before it.

    As root there, it may give files to whom the map knows. See user_namespaces(7), subuid(5).
    """

    def __init__(self, id_map: IDMap) -> None:
        self._spec = BoxSpec(
            namespaces={NamespaceType.USER: Choice.NEW},
            id_map=id_map,
            env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def unpack(
        self,
        layer: Layer,
        folder: str,
        below: Sequence[str],
        limits: Limits,
        done: Callable[[int], None],
    ) -> Extracted:
        """Unpack there; the bytes read come back while it is at it."""
        request = {
            "span": [layer.span.path, layer.span.offset, layer.span.length],
            "layer": [layer.digest, layer.size, layer.diff_id],
            "folder": folder,
            "below": list(below),
            "limits": [limits.entries, limits.size],
        }
        found = self._ask(request, layer.descriptors, done)
        return Extracted(**found | {"notes": tuple(found["notes"])})

    def remove(self, folder: str) -> None:
        """Remove there what belongs to others than the caller."""
        self._ask({"remove": folder}, (), lambda _: None)

    def _ask(
        self, request: Mapping[str, Any], descriptors: Sequence[int], done: Callable[[int], None]
    ) -> dict[str, Any]:
        command = [sys.executable, "-c", "from nsbox.image.worker import serve; serve()"]
        with popen(command, self._spec, stdin=PIPE, stdout=PIPE, pass_fds=descriptors) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.close()
            for line in process.stdout:
                answer = json.loads(line)
                if isinstance(answer, int):
                    done(answer)
                elif "reason" in answer:
                    raise ImageError(**answer)
                elif "unsupported" in answer:
                    raise UnsupportedError(answer["unsupported"])
                elif "error" in answer:
                    failed = OSError(*answer["error"])
                    for note in answer["said"]:
                        failed.add_note(note)
                    raise failed
                else:
                    return dict(answer)
        raise NsboxError("the process that unpacks in a user namespace has died")


def serve() -> None:
    """Do one request from standard input, and answer on standard output, a document a line."""
    request = json.loads(sys.stdin.buffer.readline())

    def answer(document: Any) -> None:
        print(json.dumps(document), flush=True)

    try:
        if "remove" in request:
            remove_tree(request["remove"])
            answer({})
            return
        digest, size, diff_id = request["layer"]
        entries, most = request["limits"]
        found = unpack_over(
            Layer(Span(*request["span"]), digest, size, diff_id),
            request["folder"],
            request["below"],
            Limits(entries=entries, size=most),
            answer,
        )
        answer({name: getattr(found, name) for name in ("entries", "size", "notes", "opaque_root")})
    except ImageError as error:
        answer({"reason": error.reason, "layer": error.layer, "entry": error.entry})
    except UnsupportedError as error:
        answer({"unsupported": str(error)})
    except OSError as error:
        where = None if error.filename is None else str(error.filename)
        what = [error.errno, error.strerror, where]
        answer({"error": what, "said": getattr(error, "__notes__", [])})
