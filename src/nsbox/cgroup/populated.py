"""Whether tasks are in a v1 group or below it, which v1 tells nobody but a program of the host's.

That is ``release_agent``, one for the whole hierarchy, and so nothing for a library to set. But as
long as one task of the group lives, the group is populated: it is enough to wait for the end of one
by its pidfd, to look again then, and to wait for another.
"""

import os
import select

from nsbox.cgroup import files


class Populated:
    """Looks when it is asked to; in between its descriptor is readable once one task has ended."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._epoll = select.epoll()
        self._pid = self._pidfd = -1

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Wait for nothing any more."""
        self._let_go()
        self._epoll.close()

    @property
    def told(self) -> bool:
        """Whether the next change will be told, unless it is that all tasks are moved away."""
        return self._pidfd >= 0

    def look(self) -> dict[str, int] | None:
        """Say whether tasks are in it, as v2's ``cgroup.events`` does; None: it is gone."""
        there = os.path.isdir(self._folder)
        populated, pids = self._inside() if there else (False, ())
        if self._pid not in pids or self._epoll.poll(0):
            self._let_go()
        if self._pidfd < 0 and pids:
            self._follow(pids[0])
        return {"populated": int(populated)} if there else None

    def _inside(self) -> tuple[bool, tuple[int, ...]]:
        """Return the tasks of the first group that has any, as far as they can be seen from here.

        By opening the list anew: one that is kept open is a copy, which lives on while it is read.
        """
        for group in files.walk(self._folder):
            path = f"{group}/cgroup.procs"
            if files.read(path):
                return True, files.numbers(path)
        return False, ()

    def _follow(self, pid: int) -> None:
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:  # it has ended, or there are no descriptors left: then by looking again
            return
        self._pid = pid
        self._epoll.register(self._pidfd, select.EPOLLIN)
        if self._epoll.poll(0):  # nobody has waited for it yet, and its end would wake us for ever
            self._let_go()

    def _let_go(self) -> None:
        if self._pidfd >= 0:
            self._epoll.unregister(self._pidfd)
            os.close(self._pidfd)
        self._pid = self._pidfd = -1
