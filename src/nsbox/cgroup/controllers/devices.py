"""The devices subsystem: v1 has lists, v2 an eBPF program.

See cgroup-v1/devices.rst; cgroup-v2.rst, "Device controller".
"""

from typing import Any

from nsbox.cgroup.controllers._lowering import Attach, Read, Write, told
from nsbox.cgroup.device_program import program
from nsbox.cgroup.resources import DeviceRule, Resources

NAMES = {1: "devices", 2: "devices"}
FIELDS = ("devices",)


def v1(wish: Resources, present: Resources = Resources()) -> list[Write]:
    """Lower to a list: all is refused, then what may be used is allowed, a write for each rule."""
    if wish.devices is None:
        return []
    allowed = [text for rule in wish.devices for text in _lines(rule)]
    return [
        Write("devices.deny", "a", "devices"),
        *(Write("devices.allow", text, "devices") for text in allowed),
    ]


def v2(wish: Resources, present: Resources = Resources()) -> list[Attach]:
    """Lower to a program, that takes the place of the one before it."""
    return [] if wish.devices is None else [Attach(program(wish.devices), "devices")]


def read_v1(read: Read) -> dict[str, Any]:
    """Read back the field of `Resources`."""
    return {"devices": told(read, "devices.list", _rules)}


def read_v2(read: Read) -> dict[str, Any]:
    """Nothing is to be read: a program is no list of rules any more."""
    return {}


def _lines(rule: DeviceRule) -> list[str]:
    """Write a rule for v1, whose "a" is all devices whatever the numbers after it."""
    if rule == DeviceRule("a"):
        return ["a"]
    types = "bc" if rule.type == "a" else rule.type
    return [kind + str(rule)[1:] for kind in types]


def _rules(text: str) -> tuple[DeviceRule, ...]:
    return tuple(DeviceRule.parse(line) for line in text.removesuffix("\n").split("\n") if line)
