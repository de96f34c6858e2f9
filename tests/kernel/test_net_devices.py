"""Links of the host's in a container; here the host's network is a namespace of the test's own."""

import json
import os
import shutil
import socket
import subprocess

import pytest

from nsbox import BoxSpec, Namespace, NamespaceType, RootFS, StepError
from nsbox.oci import Container, write_bundle

pytest.importorskip("pyroute2", reason="needs the extra nsbox[net]")
pytestmark = [
    pytest.mark.usefixtures("root"),
    pytest.mark.skipif(shutil.which("busybox") is None, reason="needs busybox (busybox-static)"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs ip (Debian: iproute2)"),
]
NAME = f"nsbox-links-{os.getpid()}"


def ip(words):
    return subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True).stdout


def links():
    return {name for _, name in socket.if_nameindex()}


@pytest.fixture
def host():
    """A network with two links on one wire, of which one has addresses and is up."""
    with Namespace.create(NamespaceType.NET) as made:

        def wire():
            ip("link add wan type veth peer name far")
            ip("addr add 192.0.2.1/24 broadcast 192.0.2.255 dev wan")
            ip("addr add 192.0.2.77/24 dev wan valid_lft 1000 preferred_lft 1000")
            ip("link set wan up")
            ip("link set far up")
            if os.path.exists("/proc/sys/net/ipv6"):
                ip("addr add 2001:db8::1/64 dev wan nodad")

        made.call(wire)
        yield made


@pytest.fixture
def create(host, tmp_path):
    def make(devices):
        tree = tmp_path / "tree"
        (tree / "bin").mkdir(parents=True)
        shutil.copy(str(shutil.which("busybox")), tree / "bin/busybox")
        spec = BoxSpec(rootfs=RootFS.directory(tree))
        bundle = write_bundle(tmp_path / "bundle", spec, ["/bin/busybox", "sleep", "60"])
        config = json.loads((bundle / "config.json").read_text())
        config["linux"]["netDevices"] = devices
        (bundle / "config.json").write_text(json.dumps(config))
        return host.call(lambda: Container.create(bundle, NAME, root=tmp_path / "state"))

    return make


def inside(container, words):
    done = container.run(["/bin/busybox", *words.split()])
    assert done.returncode == 0, done.stderr
    return done.stdout.decode() if isinstance(done.stdout, bytes) else done.stdout


def test_a_link_is_moved_with_its_name_and_its_lasting_addresses(host, create):
    with create({"wan": {"name": "inner0"}}) as container:
        shown = inside(container, "ip addr show inner0")
        assert "inet 192.0.2.1/24 brd 192.0.2.255" in shown
        assert "192.0.2.77" not in shown
        assert "UP" in shown.split(">")[0]
        if os.path.exists("/proc/sys/net/ipv6"):
            assert "inet6 2001:db8::1/64" in shown
        assert host.call(links) == {"lo", "far"}
        container.start()
        assert "inner0" in inside(container, "ip link")
    assert "wan" not in host.call(links)


def test_a_link_keeps_its_name_or_gets_a_number(create):
    with create({"wan": {}, "far": {"name": "eth%d"}}) as container:
        shown = inside(container, "ip link")
        assert " wan@" in shown or " wan:" in shown
        assert " eth0" in shown or " eth1" in shown


@pytest.mark.parametrize(
    ("devices", "kind"),
    [
        ({"wan": {}, "none": {}}, OSError),
        ({"wan": {}, "far": {"name": "lo"}}, StepError),
    ],
    ids=["no such link", "a name that is taken"],
)
def test_where_one_cannot_be_moved_the_others_are_back_as_they_were(host, create, devices, kind):
    before = host.call(lambda: ip("addr show wan scope global permanent"))
    with pytest.raises(kind) as caught:
        create(devices)
    assert "none" in str(caught.value) or "RTM_SETLINK" in str(caught.value)
    after = host.call(lambda: ip("addr show wan scope global permanent"))
    assert after.split("inet", 1)[1:] == before.split("inet", 1)[1:]
    assert "UP" in host.call(lambda: ip("link show wan")).split(">")[0]
    assert host.call(links) == {"lo", "wan", "far"}
