"""What a process keeps of the boxes it has started, for the next ones of the same specs.

A spec is lowered once; the next box of it begins by what came of that, along one of two ways:

- `recall` looks at nothing. What it gives may not hold any longer: the launch itself finds that
  out, by the checks that the plan begins with, and then nothing has been done yet.
- `look_up` looks at the caller and the host, and lowers the spec where either is another.

Boxes that differ by their host names and ports alone share what is kept; those that are linked, or
join a namespace by its handle, are looked up each time, for nothing here keeps a handle alive. The
copies of roots, and their descriptors, are each kept by the `Template` of what was lowered.
"""

import functools
import os
from typing import TYPE_CHECKING

import attrs

from nsbox.caller import Caller
from nsbox.known import MOST, remember
from nsbox.lower import Within, lower, lower_joining, without_handles
from nsbox.lowered import HOST_NAME, Lowered
from nsbox.namespace import Namespace
from nsbox.options import NO_OPTIONS, Options
from nsbox.rootfs import lower as rootfs

if TYPE_CHECKING:
    from nsbox.spec import BoxSpec

_MOST_AT_HAND = 16
"""How many specs there are whose lowering is found at one look."""

_Key = tuple["BoxSpec", Options | None, Within, int, bool]


class Kept:
    """All of it. Without a lock: a fork might find it locked, and so might a signal handler.

    `glances` are what was recalled for the very specs that were, by their ids, with nothing but
    themselves given.
    """

    def __init__(self) -> None:
        self._latest: dict[_Key, Lowered] = {}
        self.glances: dict[int, tuple[BoxSpec, Lowered]] = {}
        self._lower = functools.lru_cache(maxsize=MOST)(lower)
        self._shares: dict[BoxSpec, BoxSpec] = {}

    def recall(
        self, spec: "BoxSpec", options: Options | None, within: Within, *, joining: bool = False
    ) -> Lowered | None:
        """Return what the last box of this spec was started by, and the next can be: if it holds.

        With `joining`, what the last command in such a box was started by. Nothing is looked at
        here, and so the GIL not given up: with busy threads that costs milliseconds each time.
        """
        if spec.link is not None:
            return None
        found = self._latest.get((self._shared(spec), options, within, os.getpid(), joining))
        if found is not None and options is NO_OPTIONS and within is None and not joining:
            self._have_at_hand(spec, found)
        return found

    def _have_at_hand(self, spec: "BoxSpec", found: Lowered) -> None:
        there = self.glances.get(id(spec))
        if there is None or there[1] is not found:
            remember(self.glances, id(spec), (spec, found), _MOST_AT_HAND)

    def look_up(self, spec: "BoxSpec", options: Options | None, within: Within) -> Lowered:
        """Return what the next box is started by, as of now. For the parameters see `lower`."""
        shared = self._shared(spec)
        named = without_handles(shared)
        caller = Caller.current()
        state = rootfs.state(named.rootfs)
        if state is None:
            return lower(named, caller, options, within)
        lowered = self._lower(named, caller, options, within, state)
        if lowered.refusal is not None:  # the caller may have got the right to it since
            return lower(named, caller, options, within, state)
        if named is shared and lowered.checks:
            self._keep((shared, options, within, os.getpid(), False), lowered)
        return lowered

    def look_up_joining(self, spec: "BoxSpec", options: Options, within: Within) -> Lowered:
        """Return what the next command in such a box is started by, as of now."""
        shared = self._shared(spec if spec.link is None else attrs.evolve(spec, link=None))
        named = without_handles(shared)
        lowered = lower_joining(named, Caller.current(), options, within)
        if named is shared:
            self._keep((shared, options, within, os.getpid(), True), lowered)
        return lowered

    def forget(self) -> None:
        """Let go of all of it, descriptors of templates among it."""
        for lowered in self._latest.values():
            lowered.known.clear()
        self._latest.clear()
        self.glances.clear()
        self._shares.clear()
        self._lower.cache_clear()

    def _keep(self, key: _Key, lowered: Lowered) -> None:
        for old in remember(self._latest, key, lowered):
            if old is not lowered:
                self.glances.clear()
                old.known.clear()  # that leads to what holds descriptors, and back

    def _shared(self, spec: "BoxSpec") -> "BoxSpec":
        """Return what boxes that differ by their host names and ports alone have in common."""
        if spec.hostname is None and not spec.ports:
            return spec
        return self._shares.get(spec) or self._share(spec)

    def _share(self, spec: "BoxSpec") -> "BoxSpec":
        shared = attrs.evolve(spec, hostname=spec.hostname and HOST_NAME, ports=())
        if spec.link is None and Namespace not in map(type, spec.namespaces.values()):
            remember(self._shares, spec, shared)
        return shared


KEPT = Kept()
# A fork is another caller; to ask for the pid at each start takes longer.
os.register_at_fork(after_in_child=KEPT.glances.clear)
