"""What a fork of a zygote tells, of which nothing needs a box."""

import errno
import os
import socket

from nsbox import zygote
from nsbox.executor import inside
from nsbox.zygote import FAILED, NotDone, tell_of_failure


def test_what_keeps_a_fork_from_its_box_is_told_by_the_descriptor_that_it_has_by_then():
    ours, theirs = socket.socketpair()
    with ours:
        error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        tell_of_failure(error, theirs.detach(), inside)
        assert ours.recv(1) == FAILED
        message = inside.receive(ours)
        assert message is not None
        assert (message[0]["kind"], message[0]["type"]) == ("exception", "OSError")
        assert os.strerror(errno.EMFILE) in message[0]["words"]


def test_a_step_that_was_not_done_is_told_by_its_index(monkeypatch):
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(zygote, "ANSWERS", theirs.detach())
    with ours:
        tell_of_failure(NotDone(3, errno.EPERM), -1, inside)
        assert ours.recv(1) == FAILED
        assert inside.receive(ours) == ({"kind": "step", "index": 3, "errno": errno.EPERM}, b"")
