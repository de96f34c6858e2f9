"""What can go wrong: the tree of errors, and what each says."""

import copy
import errno
import os
import pickle

import pytest

import nsbox
from nsbox import NsboxError, StepError, UnsupportedError
from nsbox._native.operations import Operation
from nsbox.plan import Step

STEP = Step(Operation.CHDIR, ("/no/such",))
ERRNOS = sorted(errno.errorcode)


def failed(number=errno.ENOENT, step=STEP, index=7, box="node1", hint="hint: make it"):
    return StepError.of(step, number, index, box=box, hint=hint)


def test_a_step_error_is_of_the_class_that_its_errno_has():
    for number in ERRNOS:
        error = failed(number)
        assert isinstance(error, StepError)
        assert isinstance(error, NsboxError)
        assert isinstance(error, type(OSError(number, os.strerror(number))))


@pytest.mark.parametrize("repeat", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_a_step_error_is_carried_whole(repeat):
    for error in map(failed, ERRNOS):
        again = repeat(error)
        assert type(again) is type(error)
        assert str(again) == str(error)
        for field in ("step", "index", "errno", "strerror", "filename", "box", "hint", "args"):
            assert getattr(again, field) == getattr(error, field), field


def test_a_step_error_says_step_place_box_answer_reference_and_hint():
    assert str(failed()) == (
        "step 7 of box 'node1' failed: chdir(\"/no/such\"): No such file or directory "
        "(see chdir(2))\nhint: make it"
    )


def test_a_step_error_leaves_out_what_is_not_known():
    assert str(failed(box=None, hint=None)) == (
        'step 7 failed: chdir("/no/such"): No such file or directory (see chdir(2))'
    )


def test_a_step_error_has_what_an_os_error_has():
    error = failed()
    assert (error.errno, error.strerror) == (errno.ENOENT, os.strerror(errno.ENOENT))
    assert error.filename == "/no/such"
    assert failed(step=Step(Operation.SETSID)).filename is None


def test_an_errno_that_is_unknown_here_is_kept():
    error = failed(4095)
    assert type(error) is StepError
    assert error.errno == 4095


def test_the_tree_is_as_drawn():
    assert NsboxError.__bases__ == (Exception,)
    assert UnsupportedError.__bases__ == (NsboxError,)
    assert StepError.__bases__ == (NsboxError, OSError)


def test_what_a_host_cannot_do_is_no_os_error_and_can_be_carried():
    error = UnsupportedError("resources: no hierarchy here")
    assert not isinstance(error, OSError)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args) == (UnsupportedError, error.args)


def test_the_errors_bear_the_names_under_which_they_are_caught():
    assert {type(error).__name__ for error in map(failed, ERRNOS)} == {"StepError"}
    assert nsbox.StepError is StepError
