"""What a box that is made ahead is made from, as far as the checks of its plan do not tell."""

import os
from collections.abc import Hashable
from typing import TYPE_CHECKING

from nsbox.caller import Caller
from nsbox.errors import NsboxError
from nsbox.kept import KEPT
from nsbox.lower import Within
from nsbox.lowered import Lowered
from nsbox.options import Options
from nsbox.rootfs import lower as rootfs

if TYPE_CHECKING:
    from nsbox.spec import BoxSpec


class Origin:
    """A spec's surroundings when a box of it was made, to be compared with what they are by now.

    A plan checks most of them itself, by its first steps. What is left is looked at here: where the
    paths of namespaces to be joined and of what is mounted lead to, and all of it where a plan has
    no checks.
    """

    def __init__(self, spec: "BoxSpec", options: Options | None, within: Within) -> None:
        self._spec, self._options, self._within = spec, options, within
        self._paths = [path for path in spec.namespaces.values() if isinstance(path, str)]
        self._paths += spec.rootfs.sources
        led_to, made_by = self._led_to(), self._made_by()  # before, so that no change is missed
        self.lowered: Lowered = KEPT.look_up(spec, options, within)
        self._led_to_then = led_to
        self._made_by_then = None if self.lowered.checks else made_by
        self.is_looked_at = bool(self._paths) or self._made_by_then is not None

    @property
    def has_changed(self) -> bool:
        """Whether a box that is made now would be made from something else; see `is_looked_at`."""
        if self._paths and self._led_to() != self._led_to_then:
            return True
        return self._made_by_then is not None and (
            self._made_by() != self._made_by_then or self._lowered_anew() != self.lowered.encoded
        )

    def _led_to(self) -> Hashable:
        try:
            return tuple((file.st_dev, file.st_ino) for file in map(os.stat, self._paths))
        except OSError:
            return None

    def _made_by(self) -> Hashable:
        return Caller.current(), rootfs.state(self._spec.rootfs)

    def _lowered_anew(self) -> Hashable:
        try:
            return KEPT.look_up(self._spec, self._options, self._within).encoded
        except (NsboxError, ValueError):
            return None  # a box that is made now will say what it is
