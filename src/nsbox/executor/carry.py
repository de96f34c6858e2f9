"""Calls on their way into a box, and what comes of them on its way back.

Calls travel by pickle, by cloudpickle where both sides have it. Without it, functions of
``__main__``, nested ones and lambdas are sent by value, as the bytes of their code, since nobody in
the box could import them; classes are not.

What comes back was made in the box. To unpickle it is to trust the box with whatever the caller may
do: see `Results`.
"""

import builtins
import contextlib
import dis
import importlib
import importlib.util
import io
import marshal
import pickle
import sys
import types
from collections.abc import Iterator
from typing import Any, Literal

from nsbox.errors import RemoteError
from nsbox.executor.inside import NAME, Head

Results = Literal["pickle", "plain"]
"""How results are read: anything that pickle can build, or plain values and nothing that runs."""

MAGIC = importlib.util.MAGIC_NUMBER.hex()


def has_cloudpickle() -> bool:
    """Whether the caller has cloudpickle."""
    return importlib.util.find_spec("cloudpickle") is not None


def dump_call(call: tuple[Any, ...], *, cloudpickle: bool, magic: str) -> bytes:
    """Pickle a function and its arguments for an interpreter of this bytecode `magic`."""
    if cloudpickle:
        pickled: bytes = importlib.import_module("cloudpickle").dumps(call)
        return pickled
    buffer = io.BytesIO()
    _Pickler(buffer, same=magic == MAGIC).dump(call)
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    """Sends by value the functions that cannot be imported."""

    def __init__(self, buffer: io.BytesIO, *, same: bool) -> None:
        super().__init__(buffer, pickle.HIGHEST_PROTOCOL)
        self._same = same

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType) and not _can_be_imported(obj):
            if not self._same:
                raise pickle.PicklingError(
                    f"{obj.__qualname__} cannot be imported in the box, and another version of "
                    "Python cannot run its code"
                )
            return _by_value(obj)
        if isinstance(obj, types.ModuleType) and obj.__name__ != "__main__":
            return importlib.import_module, (obj.__name__,)
        if isinstance(obj, type) and obj.__module__ == "__main__":
            raise pickle.PicklingError(
                f"class {obj.__qualname__} of __main__ is not known in the box: define it in a "
                "module, or install cloudpickle"
            )
        return NotImplemented


def _can_be_imported(function: types.FunctionType) -> bool:
    if function.__module__ == "__main__":
        return False
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


class _Inside:
    """A function of the module inside, as pickle finds it there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *_: object) -> None:
        """Only there can it be called; pickle wants to see that it can be."""
        raise NotImplementedError

    def __reduce__(self) -> Any:
        return getattr, (_Module(NAME), self._name)


class _Module:
    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> Any:
        return importlib.import_module, (self._name,)


def _by_value(function: types.FunctionType) -> tuple[Any, ...]:
    cells = function.__closure__ or ()
    names = ("__name__", "__qualname__", "__defaults__", "__kwdefaults__", "__doc__")
    attributes = {name: getattr(function, name) for name in names} | vars(function)
    code = marshal.dumps(function.__code__)
    return (
        _Inside("make_function"),
        (code, function.__module__ or "__main__", len(cells)),
        (attributes, [_content(cell) for cell in cells], _scope(function)),
        None,
        None,
        _Inside("fill_function"),
    )


def _content(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # empty
        return ()


def _scope(function: types.FunctionType) -> dict[str, Any]:
    """Return the globals that a function of ``__main__`` uses; others have their module's there."""
    if function.__module__ != "__main__":
        return {}
    scope = function.__globals__
    return {name: scope[name] for name in set(_globals(function.__code__)) if name in scope}


def _globals(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals(constant)


class RemoteTraceback(Exception):  # noqa: N818 - as in concurrent.futures
    """The traceback of an exception in a box, as its `__cause__`."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def load_exception(head: Head, body: bytes | bytearray, results: Results) -> BaseException:
    """Return the exception that a call raised, or a `RemoteError` in its place."""
    found: Any = None
    with contextlib.suppress(Exception):  # whatever an exception's own constructor raises
        found = _load(body, results) if body else None
    allowed = Exception if results == "plain" else BaseException
    if isinstance(found, allowed):
        error = found
    else:
        error = RemoteError(f"{head.get('type')}: {head.get('words')}")
    error.__cause__ = RemoteTraceback(str(head.get("traceback")))
    return error


def load_result(body: bytes | bytearray, results: Results) -> Any:
    """Return what a call returned. Raises `pickle.UnpicklingError` and all that pickle does."""
    return _load(body, results)


def _load(body: bytes | bytearray, results: Results) -> Any:
    return pickle.loads(body) if results == "pickle" else _PlainUnpickler(io.BytesIO(body)).load()


class _PlainUnpickler(pickle.Unpickler):
    """Takes what pickle builds by itself, complex numbers and the built-in exceptions.

    None of them runs anything, or grows beyond what was sent.
    """

    def find_class(self, module: str, name: str) -> Any:
        found = getattr(builtins, name, None) if module == "builtins" else None
        if found is complex or (isinstance(found, type) and issubclass(found, Exception)):
            return found
        raise pickle.UnpicklingError(
            f"{module}.{name} is no plain value; results='pickle' takes it, "
            "from code that is trusted"
        )
