"""Many specs from one: `BoxSpec.replicate`, and the field `link`."""

import attrs
import pytest

from nsbox import ISOLATED, BoxSpec, Choice, Mount, NamespaceType, RootFS
from nsbox.link import unlinked


class Wire:
    """A link, as far as a spec asks for one."""

    hosts = "/run/hosts"
    resolv = None

    def connect(self, name=None):
        raise AssertionError(f"a value connects nothing: {name}")


def test_specs_differ_by_their_index():
    specs = BoxSpec(umask=0o077).replicate(3, hostname="node{index}", env={"PLACE": "{index}"})
    assert [spec.hostname for spec in specs] == ["node0", "node1", "node2"]
    assert [spec.env["PLACE"] for spec in specs] == ["0", "1", "2"]
    assert {spec.umask for spec in specs} == {0o077}


def test_other_braces_stay_as_they_are():
    (spec,) = BoxSpec().replicate(1, args=["awk", "{print $1} {index} {}", "{{index}}"])
    assert spec.args == ("awk", "{print $1} 0 {}", "{0}")


def test_what_is_no_text_is_the_same_for_all():
    wire, root = Wire(), RootFS.system().with_mounts(Mount.tmpfs("/scratch"))
    for spec in BoxSpec().replicate(2, link=wire, rootfs=root, init=True):
        assert spec.link is wire
        assert spec.rootfs is root


def test_without_fields_they_are_equal():
    assert BoxSpec(hostname="a").replicate(2) == (BoxSpec(hostname="a"),) * 2
    assert BoxSpec().replicate(0) == ()


@pytest.mark.parametrize("count", [-1, 1.0, "3", True, None])
def test_a_count_is_a_number(count):
    with pytest.raises(ValueError, match=r"^count: "):
        BoxSpec().replicate(count)


def test_nonsense_is_refused_as_by_a_spec():
    with pytest.raises(ValueError, match=r"^hostname: "):
        BoxSpec().replicate(2, hostname="x" * 64 + "{index}")
    with pytest.raises(TypeError, match="no_such_field"):
        BoxSpec().replicate(2, no_such_field=1)


@pytest.mark.parametrize("link", ["lan", 5, Wire, object()])
def test_a_link_is_what_gives_a_place_on_a_network(link):
    with pytest.raises(ValueError, match=r"^link: "):
        BoxSpec(link=link)


@pytest.mark.parametrize(
    "fields",
    [
        {"namespaces": ISOLATED | {NamespaceType.NET: Choice.HOST}},
        {"namespaces": ISOLATED | {NamespaceType.NET: "/run/netns/blue"}},
        {"init": False},
    ],
)
def test_a_link_takes_a_network_of_the_boxs_own(fields):
    with pytest.raises(ValueError, match=r"^link: "):
        BoxSpec(link=Wire(), **fields)


def test_specs_with_a_link_are_equal_by_the_one_it_is():
    wire = Wire()
    assert BoxSpec(link=wire) == BoxSpec(link=wire) != BoxSpec(link=Wire())
    assert hash(BoxSpec(link=wire)) == hash(BoxSpec(link=wire))


def test_without_its_link_a_spec_joins_a_network_and_sees_its_names():
    spec = unlinked(BoxSpec(link=Wire(), hostname="a"))
    assert spec.link is None
    assert spec.namespaces[NamespaceType.NET] == "nsfs/net of the link"
    assert spec.rootfs.mounts == (Mount.bind("/run/hosts", "/etc/hosts", readonly=True),)
    assert unlinked(spec) is spec


def test_names_of_the_specs_own_are_not_covered():
    own = RootFS.system().with_mounts(Mount.file("/etc/hosts", ""))
    assert unlinked(BoxSpec(link=Wire(), rootfs=own)).rootfs == own
    shared = attrs.evolve(
        BoxSpec(), link=Wire(), namespaces=ISOLATED | {NamespaceType.MNT: Choice.HOST}
    )
    assert unlinked(shared).rootfs == RootFS.system()
