"""Namespaces kept by a file: the same files that ip-netns(8), nsenter(1) and unshare(1) use."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, Namespace, NamespaceType, StepError

pytestmark = pytest.mark.usefixtures("root")
every_kind = pytest.mark.parametrize("kind", NamespaceType, ids=lambda kind: kind.proc_name)
NET = NamespaceType.NET


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@every_kind
def test_a_pin_keeps_a_namespace_and_leads_back_to_it(kind, tmp_path):
    with Namespace.create(kind) as made:
        identity = str(made)
        pin = made.pin(tmp_path / "pin")
        assert pin == tmp_path / "pin"
    try:
        with Namespace.open(pin) as again:
            assert str(again) == identity
            assert again.type is kind
    finally:
        nsbox.unpin(pin)
    assert not pin.exists()


def test_a_pin_goes_on_a_file_that_is_there_and_takes_it_away_at_the_end(tmp_path):
    pin = tmp_path / "pin"
    pin.write_text("was here")
    with Namespace.create(NamespaceType.UTS) as made:
        made.pin(str(pin))
        with Namespace.open(str(pin)) as again:
            assert again == made
    nsbox.unpin(str(pin))
    assert not pin.exists()


def test_nothing_is_pinned_over_a_pin(tmp_path):
    with (
        Namespace.create(NamespaceType.UTS) as made,
        Namespace.create(NamespaceType.UTS) as other,
    ):
        pin = made.pin(tmp_path / "pin")
        for namespace in (made, other):
            with pytest.raises(FileExistsError):
                namespace.pin(pin)
        with Namespace.open(pin) as again:
            assert again == made
        nsbox.unpin(pin)


def test_one_namespace_can_be_pinned_in_two_places(tmp_path):
    with Namespace.create(NamespaceType.UTS) as made:
        pins = [made.pin(tmp_path / name) for name in ("one", "other")]
        nsbox.unpin(pins[0])
        with Namespace.open(pins[1]) as again:
            assert again == made
        nsbox.unpin(pins[1])


def test_what_cannot_be_mounted_upon_is_named_and_nothing_is_made(tmp_path):
    with Namespace.create(NamespaceType.UTS) as made:
        with pytest.raises(IsADirectoryError):
            made.pin(tmp_path)
        with pytest.raises(FileNotFoundError):
            made.pin(tmp_path / "no" / "folder")
    with pytest.raises(ValueError, match="is closed"):
        made.pin(tmp_path / "late")
    assert os.listdir(tmp_path) == []


def test_a_mount_namespace_is_not_pinned_within_itself(tmp_path):
    here = Namespace.current(NamespaceType.MNT)
    with here, pytest.raises(StepError, match="older than itself") as caught:
        here.pin(tmp_path / "pin")
    assert caught.value.errno == errno.ELOOP
    assert os.listdir(tmp_path) == []


def test_only_a_pin_is_unpinned(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("kept")
    link.symlink_to("/proc/self/ns/uts")
    for path in (file, link, tmp_path):
        with pytest.raises(ValueError, match="no namespace is pinned"):
            nsbox.unpin(path)
    assert file.read_text() == "kept"
    assert link.is_symlink()
    with pytest.raises(FileNotFoundError):
        nsbox.unpin(tmp_path / "missing")


def test_what_is_in_a_namespace_that_is_unpinned_stays_there(tmp_path):
    with BoxSpec().start() as box:
        net = Namespace.of(box.pid, NET)
        nsbox.unpin(net.pin(tmp_path / "pin"))
        assert Namespace.of(box.pid, NET) == net


@every_kind
def test_nsenter_enters_what_is_pinned(kind, tmp_path):
    with Namespace.create(kind) as made:
        pin = made.pin(tmp_path / "pin")
        try:
            option = {"mnt": "mount"}.get(kind.proc_name, kind.proc_name)
            arguments = [f"--{option}={pin}"]
            if kind is NamespaceType.USER:
                arguments.append("--preserve-credentials")
            seen = output("nsenter", *arguments, "readlink", f"/proc/self/ns/{kind.proc_name}")
            assert seen.strip() == str(made)
        finally:
            nsbox.unpin(pin)


@pytest.mark.parametrize("kind", ["uts", "net", "ipc", "cgroup"])
def test_what_unshare_pins_is_opened(kind, tmp_path):
    pin = tmp_path / "pin"
    pin.touch()
    output("unshare", f"--{kind}={pin}", "true")
    try:
        with Namespace.open(pin) as opened:
            assert opened.type.proc_name == kind
            assert opened.call(os.readlink, f"/proc/thread-self/ns/{kind}") == str(opened)
    finally:
        nsbox.unpin(pin)


def test_a_box_joins_what_is_pinned_by_its_path(tmp_path):
    with Namespace.create(NET) as made:
        pin = made.pin(tmp_path / "pin")
    try:
        spec = BoxSpec(namespaces=nsbox.ISOLATED | {NET: pin})
        done = nsbox.run(["readlink", "/proc/self/ns/net"], spec, capture_output=True, text=True)
        assert done.stdout.strip() == str(made)
    finally:
        nsbox.unpin(pin)


def in_a_mount_namespace(script):
    """Run Python where /run/netns can be mounted on without the host's seeing it."""
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


PRELUDE = """
import subprocess, nsbox
from nsbox import Namespace, NamespaceType
def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
subprocess.run(["mount", "-t", "tmpfs", "nsbox-test", "/run"], check=True)
"""


def test_ip_netns_lists_and_enters_and_deletes_what_is_pinned():
    in_a_mount_namespace(
        PRELUDE
        + textwrap.dedent("""
        output("mkdir", "/run/netns")
        with Namespace.create(NamespaceType.NET) as made:
            made.pin("/run/netns/ours")
            assert output("ip", "netns", "list").split() == ["ours"]
            inside = output("ip", "netns", "exec", "ours", "readlink", "/proc/self/ns/net")
            assert inside.strip() == str(made)
            output("ip", "-n", "ours", "link", "add", "dummy0", "type", "veth")
            links = made.call(output, "ip", "-o", "link")
            assert "dummy0" in links
        output("ip", "netns", "delete", "ours")
        assert output("ip", "netns", "list") == ""
        """)
    )


def test_what_ip_netns_adds_is_opened_entered_joined_and_unpinned():
    in_a_mount_namespace(
        PRELUDE
        + textwrap.dedent("""
        output("ip", "netns", "add", "theirs")
        with Namespace.open("/run/netns/theirs") as opened:
            inside = output("ip", "netns", "exec", "theirs", "readlink", "/proc/self/ns/net")
            assert opened.type is NamespaceType.NET and str(opened) == inside.strip()
            with opened.entered():
                assert output("readlink", "/proc/self/ns/net") == inside
        spec = nsbox.BoxSpec(
            namespaces=nsbox.ISOLATED | {NamespaceType.NET: "/run/netns/theirs"}
        )
        done = nsbox.run(["readlink", "/proc/self/ns/net"], spec, capture_output=True, text=True)
        assert done.stdout == inside
        nsbox.unpin("/run/netns/theirs")
        assert output("ip", "netns", "list") == ""
        """)
    )


def test_a_pin_made_in_a_mount_namespace_of_its_own_is_not_seen_on_the_host(tmp_path):
    script = f"""
import nsbox
with nsbox.Namespace.create(nsbox.NamespaceType.UTS) as made:
    made.pin({str(tmp_path / "pin")!r})
"""
    in_a_mount_namespace(script)
    assert Path(tmp_path / "pin").read_text() == ""
