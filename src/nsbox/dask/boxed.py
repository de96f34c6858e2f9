"""A function that runs in a box wherever Dask calls it. It is a value, and travels by pickle."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from nsbox.dask.calls import calls
from nsbox.dask.layout import LayoutSpec
from nsbox.executor.settings import Settings
from nsbox.fields import frozen_map
from nsbox.frozen import FrozenMap
from nsbox.rootfs import RootFS
from nsbox.spec import BoxSpec

_NOT_HERE = {"stdout", "stderr", "cgroup", "spec"}


def _function(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not callable(value):
        raise ValueError(f"{attribute.name}: something to be called, not {value!r}")


def _spec(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not isinstance(value, BoxSpec | LayoutSpec):
        raise ValueError(f"{attribute.name}: a BoxSpec or a LayoutSpec, not {value!r}")
    if isinstance(value, BoxSpec) and value.link is not None:
        raise ValueError(f"{attribute.name}: a bridge is a live handle, and does not travel")


def _settings(value: Mapping[str, Any]) -> FrozenMap[str, Any]:
    listed: dict[str, Any] = {
        name: tuple(one) if isinstance(one, list) else one
        for name, one in frozen_map(value, "settings").items()
    }
    known = {field.name for field in attrs.fields(Settings)} - _NOT_HERE
    unknown = listed.keys() - known
    if unknown:
        raise TypeError(f"boxed: no such parameter: {', '.join(sorted(unknown))}")
    Settings(spec=_DEFAULT, **listed)
    return FrozenMap(listed)


_DEFAULT = BoxSpec(rootfs=RootFS.system(python=True))


@attrs.frozen(kw_only=True)
class Boxed:
    """A function whose calls each run in a box; made by `boxed`."""

    function: Callable[..., Any] = attrs.field(validator=_function)
    spec: BoxSpec | LayoutSpec = attrs.field(default=_DEFAULT, validator=_spec)
    settings: FrozenMap[str, Any] = attrs.field(default=FrozenMap(), converter=_settings)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in a box of this host, and return what it returns."""
        spec = self.spec.resolve() if isinstance(self.spec, LayoutSpec) else self.spec
        return calls().run(self.function, args, kwargs, spec, self.settings)

    @property
    def __name__(self) -> str:
        """What Dask's dashboard, and the keys of futures, show."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))


def boxed(
    function: Callable[..., Any] | None = None,
    spec: BoxSpec | LayoutSpec | None = None,
    **settings: Any,
) -> Any:
    """Return a function that does the same in a box, made on the host where it is called.

    The `settings` are those of `BoxExecutor` that travel: `isolation`, `timeout`, `memory_max`,
    `output_max`, `results`, `preload`, `python`. A worker keeps the box for its next call of the
    same spec and settings, as the isolation allows. A call that is cancelled ends its box, and a
    worker that ends has no box left; one whose box dies has `WorkerDied` as its exception. What
    each cost is told by `reports`. Outside of a worker it runs in a box of the caller's own.

    With settings alone it is a decorator: ``@boxed(timeout=60)``.
    """
    if function is None:
        return functools.partial(boxed, spec=spec, **settings)
    return Boxed(function=function, spec=spec or _DEFAULT, settings=settings)
