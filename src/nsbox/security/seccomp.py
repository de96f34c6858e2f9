"""Which system calls a box may make, as a value, and lowered to a filter. See seccomp(2)."""

import errno
import functools
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

from nsbox import _native
from nsbox.security import bpf

if TYPE_CHECKING:
    from nsbox.security.notify import Handler

KILL_PROCESS = 0x80000000
KILL_THREAD = 0x00000000
TRAP = 0x00030000
ERRNO = 0x00050000
USER_NOTIF = 0x7FC00000
LOG = 0x7FFC0000
ALLOW = 0x7FFF0000

_ACTIONS = {
    "allow": ALLOW,
    "log": LOG,
    "notify": USER_NOTIF,
    "trap": TRAP,
    "kill_thread": KILL_THREAD,
    "kill_process": KILL_PROCESS,
}
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_MAX_ERRNO = 4095
_BEFORE_EXEC = frozenset({"sendmsg", "close", "exit_group"})


def _action(value: Any) -> str | int:
    """Read an action: a name, or an errno with which the call fails."""
    if type(value) is int and 0 < value <= _MAX_ERRNO:
        return value
    if isinstance(value, str):
        if value in _ACTIONS:
            return value
        if isinstance(number := getattr(errno, value, None), int):
            return number
    names = ", ".join(_ACTIONS)
    raise ValueError(f"action: an errno, its name, or one of {names}; not {value!r}")


def _names(value: Iterable[str]) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    for name in names:
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"names: of system calls, not {name!r}")
    return names


@attrs.frozen
class Argument:
    """A test of one argument of a system call: ``Argument(0, "==", 1)``.

    `index` is 0 to 5, `comparison` one of ``== != > >= < <= &==``; `mask` is for the last, which
    compares what it leaves of the argument. Pointers can be compared, but not followed.
    """

    index: int = attrs.field()
    comparison: str = attrs.field(validator=attrs.validators.in_(bpf.COMPARISONS))
    value: int = attrs.field()
    mask: int = attrs.field(default=(1 << 64) - 1, kw_only=True)

    @index.validator
    def _check_index(self, _: Any, index: int) -> None:
        if type(index) is not int or not 0 <= index <= 5:
            raise ValueError(f"index: 0 to 5, not {index!r}")

    @value.validator
    @mask.validator
    def _check_number(self, attribute: "attrs.Attribute[int]", value: int) -> None:
        if type(value) is not int or not 0 <= value < 1 << 64:
            raise ValueError(f"{attribute.name}: a 64-bit number, not {value!r}")


def _arguments(value: Iterable[Argument]) -> tuple[Argument, ...]:
    arguments = tuple(value)
    for argument in arguments:
        if not isinstance(argument, Argument):
            raise ValueError(f"arguments: values of Argument, not {argument!r}")
    return arguments


@attrs.frozen
class Rule:
    """What happens to some system calls: all of the tests in `arguments` must hold for it."""

    names: tuple[str, ...] = attrs.field(converter=_names)
    action: str | int = attrs.field(converter=_action, default="allow")
    arguments: tuple[Argument, ...] = attrs.field(converter=_arguments, default=(), kw_only=True)


def _rules(value: Iterable[Rule]) -> tuple[Rule, ...]:
    rules = tuple(value)
    for rule in rules:
        if not isinstance(rule, Rule):
            raise ValueError(f"rules: values of Rule, not {rule!r}")
    return rules


@attrs.frozen
class Seccomp:
    """A filter of system calls. See seccomp(2).

    The first of `rules` that fits a call decides, else `default`: ``"allow"``, ``"log"``,
    ``"trap"``, ``"kill_thread"``, ``"kill_process"``, or the errno with which the call fails. In a
    rule it may be ``"notify"``: then `handler` is asked, a function of the caller's that takes a
    `nsbox.security.Call` in a thread of its own; see there. Names
    that this architecture does not have are passed over, as lists serve several; calls younger than
    the headers that this package was built with fail with ENOSYS unless the default allows them.
    """

    rules: tuple[Rule, ...] = attrs.field(converter=_rules)
    default: str | int = attrs.field(converter=_action, default=errno.EPERM)
    handler: "Handler | None" = attrs.field(default=None, kw_only=True)

    @default.validator
    def _check_default(self, _: Any, default: str | int) -> None:
        if default == "notify":
            raise ValueError("default: a handler is asked by rules alone, not 'notify'")

    @handler.validator
    def _check_handler(self, _: Any, handler: Any) -> None:
        asked = {name for rule in self.rules if rule.action == "notify" for name in rule.names}
        if handler is None and asked:
            raise ValueError(
                "handler: a rule says 'notify', so a function must be there to be asked"
            )
        if handler is not None and not callable(handler):
            raise ValueError(f"handler: a function that takes a Call, not {handler!r}")
        if self.handler is not None and asked & _BEFORE_EXEC:
            raise ValueError(
                f"rules: by {', '.join(sorted(asked & _BEFORE_EXEC))} the listener itself gets to "
                "the handler, which cannot be asked about that"
            )

    @classmethod
    def standard(cls) -> "Seccomp":
        """What container engines ship: all that programs commonly need, little of what harms."""
        from nsbox.security.profiles import standard  # noqa: PLC0415 - long, and not always used

        return standard()

    @classmethod
    def strict(cls) -> "Seccomp":
        """A smaller list, for programs that nobody trusts."""
        from nsbox.security.profiles import strict  # noqa: PLC0415

        return strict()

    def allow(self, *names: str) -> "Seccomp":
        """Return this filter with more calls allowed, whatever it said of them."""
        return attrs.evolve(self, rules=(Rule(names), *self.rules))

    def deny(self, *names: str, action: str | int = errno.EPERM) -> "Seccomp":
        """Return this filter with calls denied, whatever it said of them."""
        return attrs.evolve(self, rules=(Rule(names, action), *self.rules))

    def notify(self, *names: str, handler: "Handler") -> "Seccomp":
        """Return this filter with a handler that is asked about calls, whatever it said of them."""
        return attrs.evolve(self, rules=(Rule(names, "notify"), *self.rules), handler=handler)

    def allows(self, *names: str) -> bool:
        """Return whether it allows all these calls, whatever their arguments are."""
        rules, default = _by_name(self.rules), _code(self.default)
        return all(_answer(rules.get(name, ()), default) == ((), ALLOW) for name in names)

    def program(self) -> bytes:
        """Lower to the filter's instructions, an array of struct sock_filter.

        Raises `ValueError` where it is too long for the kernel.
        """
        return _program(self)


def _instructions(_: Any, attribute: "attrs.Attribute[bytes]", value: Any) -> None:
    if not isinstance(value, bytes) or not value or len(value) % bpf.SIZE:
        raise ValueError(f"{attribute.name}: bytes of struct sock_filter, not {value!r}")
    if len(value) // bpf.SIZE > bpf.MAX_INSTRUCTIONS:
        raise ValueError(f"{attribute.name}: at most {bpf.MAX_INSTRUCTIONS} of them")


@attrs.frozen
class FilterProgram:
    """A filter of your own, as classic BPF: an array of struct sock_filter. See seccomp(2).

    For what another program has compiled, libseccomp's `export_bpf` for one. The kernel checks it
    as it is loaded; what it says is not looked at.
    """

    instructions: bytes = attrs.field(validator=_instructions, repr=lambda it: f"{len(it)} bytes")

    def allows(self, *_: str) -> bool:
        """Return False: what it says is not looked at."""
        return False

    def program(self) -> bytes:
        """Return the instructions."""
        return self.instructions


@functools.lru_cache(maxsize=16)
def _program(seccomp: Seccomp) -> bytes:
    numbers, machine = _native.syscalls(), os.uname().machine
    default, rules = _code(seccomp.default), _by_name(seccomp.rules)
    unknown = default if seccomp.default in ("allow", "log") else ERRNO | errno.ENOSYS
    end = max(numbers.values()) + 1
    answers: dict[int, bpf.Answer] = dict.fromkeys(range(end), ((), default))
    answers |= {number: _answer(rules.get(name, ()), default) for name, number in numbers.items()}
    answers[end] = (), unknown
    if machine == "x86_64":
        answers[_X32_BIT] = (), ERRNO | errno.EPERM
    program = bpf.program(_ARCHITECTURES[machine], ERRNO | errno.EPERM, answers)
    if len(program) > bpf.MAX_INSTRUCTIONS:
        raise ValueError(
            f"seccomp: a filter of {len(program)} instructions; the kernel takes "
            f"{bpf.MAX_INSTRUCTIONS}"
        )
    return bpf.encode(program)


def _by_name(rules: Iterable[Rule]) -> dict[str, list[Rule]]:
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        for name in dict.fromkeys(rule.names):
            found.setdefault(name, []).append(rule)
    return found


def _answer(rules: Iterable[Rule], default: int) -> bpf.Answer:
    """Return what one call's rules say, up to the first that always fits."""
    conditional: list[bpf.Rule] = []
    for rule in rules:
        if not rule.arguments:
            return tuple(conditional), _code(rule.action)
        tests = tuple((a.index, a.comparison, a.value, a.mask) for a in rule.arguments)
        conditional.append((tests, _code(rule.action)))
    return tuple(conditional), default


def _code(action: str | int) -> int:
    return _ACTIONS[action] if isinstance(action, str) else ERRNO | action
