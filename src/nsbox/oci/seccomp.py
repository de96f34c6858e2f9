"""The filter of system calls: config-linux.md, "Seccomp".

With us the first rule that fits a call decides. A runtime tells its rules to libseccomp, where one
without tests wins over those with, and the order of the others says nothing: so rules are written
that exclude each other.
"""

import errno
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from nsbox.oci.agent import placeholder
from nsbox.oci.document import Node, invalid, named, unsupported
from nsbox.security import Argument, FilterProgram, Rule, Seccomp
from nsbox.security.notify import Handler

_ACTIONS = {
    "allow": "SCMP_ACT_ALLOW",
    "log": "SCMP_ACT_LOG",
    "trap": "SCMP_ACT_TRAP",
    "kill_thread": "SCMP_ACT_KILL_THREAD",
    "kill_process": "SCMP_ACT_KILL_PROCESS",
}
_NAMES = {action: name for name, action in _ACTIONS.items()} | {"SCMP_ACT_KILL": "kill_thread"}
_COMPARISONS = {
    "==": "SCMP_CMP_EQ",
    "!=": "SCMP_CMP_NE",
    ">": "SCMP_CMP_GT",
    ">=": "SCMP_CMP_GE",
    "<": "SCMP_CMP_LT",
    "<=": "SCMP_CMP_LE",
    "&==": "SCMP_CMP_MASKED_EQ",
}
_READ_COMPARISONS = {name: comparison for comparison, name in _COMPARISONS.items()}
_OPPOSITES = {"==": "!=", "!=": "==", ">": "<=", "<=": ">", "<": ">=", ">=": "<"}

_FLAGS = {"SECCOMP_FILTER_FLAG_TSYNC"}
"""What says nothing to a process with one thread, as a command is when it begins."""

Tests = tuple[Argument, ...]


def write(seccomp: Seccomp | FilterProgram) -> dict[str, Any]:
    """Write a filter. Raises `UnsupportedError` for one that libseccomp cannot be told."""
    if isinstance(seccomp, FilterProgram):
        raise unsupported("security.seccomp", "a bundle holds rules, not a program")
    if seccomp.handler is not None:
        raise unsupported("security.seccomp", "a bundle holds no function to be asked")
    action, errno_ret = _action(seccomp.default)
    default = {} if errno_ret is None else {"defaultErrnoRet": errno_ret}
    rules = seccomp.rules if _is_plain(seccomp.rules) else tuple(_apart(seccomp))
    return {"defaultAction": action, **default, "syscalls": [_rule(rule) for rule in rules]}


def _action(action: str | int) -> tuple[str, int | None]:
    return (_ACTIONS[action], None) if isinstance(action, str) else ("SCMP_ACT_ERRNO", action)


def _rule(rule: Rule) -> dict[str, Any]:
    indexes = [argument.index for argument in rule.arguments]
    if len(set(indexes)) < len(indexes):
        raise unsupported("security.seccomp", f"{rule!r} tests one argument twice")
    action, errno_ret = _action(rule.action)
    written: dict[str, Any] = {"names": list(rule.names), "action": action}
    if errno_ret is not None:
        written["errnoRet"] = errno_ret
    if rule.arguments:
        written["args"] = [_argument(argument) for argument in rule.arguments]
    return written


def _argument(argument: Argument) -> dict[str, Any]:
    written = {"index": argument.index, "op": _COMPARISONS[argument.comparison]}
    if argument.comparison == "&==":
        return written | {"value": argument.mask, "valueTwo": argument.value}
    return written | {"value": argument.value}


def _is_plain(rules: Sequence[Rule]) -> bool:
    """Whether the order says nothing: no call has rules that could contradict each other."""
    seen: dict[str, str | int | None] = {}
    for rule in rules:
        for name in rule.names:
            if name in seen and (not rule.arguments or seen[name] != rule.action):
                return False
            seen[name] = rule.action if rule.arguments else None
    return True


def _apart(seccomp: Seccomp) -> Iterator[Rule]:
    """Write rules that exclude each other: each without what those before it decide."""
    by_name: dict[str, list[Rule]] = {}
    for rule in seccomp.rules:
        for name in dict.fromkeys(rule.names):
            by_name.setdefault(name, []).append(rule)
    together: dict[tuple[Tests, str | int], list[str]] = {}
    for name, rules in by_name.items():
        for tests, action in _decisions(name, rules, seccomp.default):
            together.setdefault((tests, action), []).append(name)
    for (tests, action), names in together.items():
        yield Rule(names, action, arguments=tests)


def _decisions(
    name: str, rules: Sequence[Rule], default: str | int
) -> Iterator[tuple[Tests, str | int]]:
    before: list[Rule] = []
    for rule in rules:
        against = [one.arguments for one in before if one.action != rule.action]
        if rule.action != default or not rule.arguments:
            for tests in _without(name, rule.arguments, against):
                yield tests, rule.action
        if not rule.arguments:
            return
        before.append(rule)


def _without(name: str, tests: Tests, against: Sequence[Tests]) -> Iterator[Tests]:
    """Return tests that hold where `tests` does, and none of `against`."""
    by_index: dict[int, list[Argument]] = {}
    for one in against:
        if len(one) != 1 or any(one[0].index == test.index for test in tests):
            raise unsupported("security.seccomp", f"the order of the rules for {name} matters")
        by_index.setdefault(one[0].index, []).append(one[0])
    for others in itertools.product(*(_opposite(name, group) for group in by_index.values())):
        yield tests + others


def _opposite(name: str, tests: list[Argument]) -> list[Argument]:
    """Return tests one of which holds where none of these does, all of one argument."""
    first, *more = tests
    if not more and first.comparison in _OPPOSITES:
        return [Argument(first.index, _OPPOSITES[first.comparison], first.value)]
    masks = {test.mask for test in tests if test.comparison == "&=="}
    if len(masks) != 1 or any(test.comparison != "&==" for test in tests):
        raise unsupported("security.seccomp", f"the rules for {name} compare in several ways")
    mask = masks.pop()
    return [
        Argument(first.index, "&==", value, mask=bits)
        for value, bits in _complement({test.value & mask for test in tests}, mask)
    ]


def _complement(values: set[int], mask: int) -> Iterator[tuple[int, int]]:
    """Cover all that is none of `values` by patterns: bit by bit, from the highest of the mask."""
    groups = [(0, 0, values)]
    for bit in (1 << place for place in reversed(range(64)) if mask >> place & 1):
        divided = []
        for value, bits, inside in groups:
            for side in (0, bit):
                kept = {one for one in inside if one & bit == side}
                if kept:
                    divided.append((value | side, bits | bit, kept))
                else:
                    yield value | side, bits | bit
        groups = divided


def read(linux: Node, asked: Handler = placeholder) -> Seccomp | None:
    """Read a filter; None where there is none. `asked` is who is, if a rule says so."""
    if not linux.has("seccomp"):
        return None
    node = linux.child("seccomp")
    for number, flag in enumerate(node.texts("flags")):
        if flag not in _FLAGS:
            raise unsupported(f"{node.at('flags')}[{number}]", "a filter is loaded without it")
    for known in (Seccomp.standard(), Seccomp.strict()):
        if node.members == write(known):
            return known
    default = _read_action(node, "defaultAction", "defaultErrnoRet")
    rules = [_read_rule(one) for one in node.nodes("syscalls")]
    asks = any(rule.action == "notify" for rule in rules)
    with named(node.path):
        return Seccomp(_ordered(rules), default, handler=asked if asks else None)


def _ordered(rules: list[Rule]) -> list[Rule]:
    """Have rules without tests win, where libseccomp lets them."""
    if _is_plain(rules):
        return rules
    return sorted(rules, key=lambda rule: bool(rule.arguments))


def _read_action(node: Node, name: str, errno_name: str) -> str | int:
    action = node.need(name, str)
    if action == "SCMP_ACT_ERRNO":
        number = node.get(errno_name, int, errno.EPERM)
        if not 0 < number <= 4095:
            raise unsupported(node.at(errno_name), f"an errno from 1 to 4095, not {number}")
        return number
    if action == "SCMP_ACT_TRACE":
        raise unsupported(node.at(name), "system calls are not told to a tracer")
    if action == "SCMP_ACT_NOTIFY" and name == "action":
        return "notify"
    if action not in _NAMES:
        raise invalid(node.at(name), f"an action, not {action!r}")
    return _NAMES[action]


def _read_rule(node: Node) -> Rule:
    names, action = node.texts("names"), _read_action(node, "action", "errnoRet")
    if not names:
        raise invalid(node.at("names"), "one system call or more")
    arguments = [_read_argument(one) for one in node.nodes("args")]
    indexes = [argument.index for argument in arguments]
    if len(set(indexes)) < len(indexes):
        raise unsupported(node.at("args"), "runtimes differ in what two of one argument mean")
    with named(node.path):
        return Rule(names, action, arguments=arguments)


def _read_argument(node: Node) -> Argument:
    op, value = node.need("op", str), node.need("value", int)
    if op not in _READ_COMPARISONS:
        raise invalid(node.at("op"), f"a comparison, not {op!r}")
    with named(node.path):
        if op == "SCMP_CMP_MASKED_EQ":
            other = node.get("valueTwo", int, 0)
            return Argument(node.need("index", int), "&==", other, mask=value)
        return Argument(node.need("index", int), _READ_COMPARISONS[op], value)
