"""What a box may do."""

from nsbox.security.landlock import Landlock
from nsbox.security.notify import Call
from nsbox.security.seccomp import Argument, FilterProgram, Rule, Seccomp
from nsbox.security.security import Security

__all__ = ["Argument", "Call", "FilterProgram", "Landlock", "Rule", "Seccomp", "Security"]
