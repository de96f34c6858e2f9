"""One box that waits to be started, and stays then: made, handed over, thrown away."""

from typing import TYPE_CHECKING

from nsbox import commands
from nsbox.ahead import Later
from nsbox.box import Box
from nsbox.launch import OutdatedError
from nsbox.spec import BoxSpec

if TYPE_CHECKING:
    from nsbox.cgroup.cgroup import Cgroup


class Standing:
    """Such a box; `later` has something done when nobody waits for it."""

    def __init__(self, spec: BoxSpec, cgroup: "Cgroup | None", later: Later) -> None:
        self._later = later
        self._parking = commands.parking(spec, cgroup, stays=True)
        self.box = Box(spec, command=self._parking.command)

    def hand_over(self) -> Box:
        """Give it to its user, whose it is from now on.

        Raises `OutdatedError`, also where it has ended, by whatever hand.
        """
        try:
            if self.box.poll() is not None or not self._parking.is_current:
                raise OutdatedError
        except BaseException:
            self._later(self.discard)
            raise
        return self.box

    def ripen(self) -> None:
        """Do nothing: it is looked at as it is handed over."""

    def discard(self) -> None:
        """End it unused."""
        self.box.close()
