"""What a box may do."""

from nsbox.security.landlock import Landlock
from nsbox.security.seccomp import Argument, FilterProgram, Rule, Seccomp
from nsbox.security.security import Security

__all__ = ["Argument", "FilterProgram", "Landlock", "Rule", "Seccomp", "Security"]
