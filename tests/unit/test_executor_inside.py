"""What a fork of a zygote tells, of which nothing needs a box."""

import errno
import os
import socket

from nsbox.executor import inside
from nsbox.zygote import NotDone


def test_what_keeps_a_fork_from_its_box_is_told_by_the_descriptor_that_it_has_by_then():
    ours, theirs = socket.socketpair()
    with ours:
        inside.tell_of_failure(OSError(errno.EMFILE, os.strerror(errno.EMFILE)), theirs.detach())
        assert ours.recv(1) == inside.FAILED
        message = inside.receive(ours)
        assert message is not None
        assert (message[0]["kind"], message[0]["type"]) == ("exception", "OSError")
        assert os.strerror(errno.EMFILE) in message[0]["words"]


def test_a_step_that_was_not_done_is_told_by_its_index(monkeypatch):
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(inside, "ANSWERS", theirs.detach())
    with ours:
        inside.tell_of_failure(NotDone(3, errno.EPERM), -1)
        assert ours.recv(1) == inside.FAILED
        assert inside.receive(ours) == ({"kind": "step", "index": 3, "errno": errno.EPERM}, b"")
