"""Parameters of namespaces: which there are, and where they stand."""

import pytest

from nsbox import ISOLATED, BoxSpec, Choice, NamespaceType
from nsbox.kernel_parameters import file, kind

FILES = {
    "net.ipv4.ip_forward": "net/ipv4/ip_forward",
    "net/ipv4/ip_forward": "net/ipv4/ip_forward",
    "net.ipv4.conf.eth0/1.forwarding": "net/ipv4/conf/eth0.1/forwarding",
    "net/ipv4/conf/eth0.1/forwarding": "net/ipv4/conf/eth0.1/forwarding",
}
KINDS = {
    "net.ipv4.ip_forward": NamespaceType.NET,
    "kernel.shmmax": NamespaceType.IPC,
    "kernel.msgmax": NamespaceType.IPC,
    "kernel.sem": NamespaceType.IPC,
    "fs.mqueue.msg_max": NamespaceType.IPC,
    "kernel.domainname": NamespaceType.UTS,
    "kernel.panic": None,
    "network": None,
}


@pytest.mark.parametrize("name", FILES)
def test_the_first_separator_of_a_name_is_the_one_that_counts(name):
    assert file(name) == FILES[name]


@pytest.mark.parametrize("name", KINDS)
def test_a_parameter_is_of_one_kind_of_namespace_or_the_hosts(name):
    assert kind(name) is KINDS[name]


@pytest.mark.parametrize(
    "name", ["kernel.panic", "net.../../kernel/panic", "net/../kernel/panic", "net.", "", "net\0"]
)
def test_what_is_no_parameter_of_a_namespace_is_refused(name):
    with pytest.raises(ValueError, match=r"^sysctl: "):
        BoxSpec(sysctl={name: "1"})


def test_the_hosts_own_are_refused():
    shared = ISOLATED | {NamespaceType.NET: Choice.HOST}
    with pytest.raises(ValueError, match=r"^sysctl: .* takes a net namespace of the box's"):
        BoxSpec(namespaces=shared, sysctl={"net.ipv4.ip_forward": "1"})


def test_a_value_is_text():
    with pytest.raises(ValueError, match=r"^sysctl: maps str to str"):
        BoxSpec(sysctl={"net.ipv4.ip_forward": 1})


def test_a_plan_writes_them_before_the_root_is_built():
    plan = BoxSpec(sysctl={"net.ipv4.ip_forward": "1"}, domainname="here").plan(["true"])
    texts = [str(step) for step in plan]
    at = texts.index('write("/proc/sys/net/ipv4/ip_forward", "1")')
    assert texts.index('setdomainname("here")') < at
    assert at < next(i for i, text in enumerate(texts) if "pivot_root" in text or "chroot" in text)
