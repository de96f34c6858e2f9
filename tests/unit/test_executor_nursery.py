"""For which specs each call can have a box of its own: no box, no kernel."""

import sys
import sysconfig

import attrs
import pytest

import nsbox
from nsbox import BoxSpec, Choice, IDMap, Mount, NamespaceType, RootFS, Seccomp, Security
from nsbox.caller import Caller
from nsbox.constants import Capability
from nsbox.executor.nursery import can_be
from nsbox.executor.settings import Settings
from nsbox.security.capabilities import ALL_CAPABILITIES

ROOT = RootFS.system(python=True)
STDLIB = sysconfig.get_path("stdlib")


def user(capabilities=ALL_CAPABILITIES):
    return Caller(0 if capabilities else 1000, 0, capabilities, "/", 1)


@pytest.fixture(params=[user(), user(Capability(0))], ids=["root", "a user"])
def caller(request, monkeypatch):
    monkeypatch.setattr(Caller, "current", lambda: request.param)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    return request.param


def can(spec=BoxSpec(rootfs=ROOT), **settings):
    return can_be(Settings(spec=spec, **settings))


@pytest.mark.usefixtures("caller")
def test_by_default_it_can():
    assert can()
    assert can(BoxSpec(rootfs=ROOT.with_mounts(Mount.bind("/srv", "/srv", readonly=True))))
    assert can(BoxSpec(rootfs=ROOT, security=Security(user_namespace=True)))
    namespaces = nsbox.ISOLATED | {NamespaceType.NET: Choice.HOST}
    assert can(BoxSpec(rootfs=ROOT, namespaces=namespaces))


@pytest.mark.usefixtures("caller")
@pytest.mark.parametrize(
    "rootfs",
    [
        RootFS.system(),
        RootFS.directory("/srv"),
        RootFS.empty(),
        ROOT.with_mounts(Mount.tmpfs(STDLIB)),
        ROOT.with_mounts(Mount.bind("/srv", "/usr/lib", readonly=True)),
        ROOT.with_mounts(Mount.bind("/srv", f"{STDLIB}/below", readonly=True)),
        ROOT.with_mounts(Mount.bind(STDLIB, "/data")),
        ROOT.with_mounts(Mount.bind(f"{STDLIB}/json", "/data")),
        ROOT.with_mounts(Mount.bind("/", "/host")),
    ],
    ids=str,
)
def test_only_what_the_caller_runs_itself_is_run_with_rights(rootfs):
    assert not can(BoxSpec(rootfs=rootfs))


@pytest.mark.usefixtures("caller")
@pytest.mark.parametrize(
    "fields",
    [
        {"ports": [80]},
        {"security": Security(apparmor="profile")},
        {"security": Security(selinux="label")},
        {"security": Security(seccomp=Seccomp.standard().notify("mkdir", handler=print))},
        {
            "namespaces": nsbox.ISOLATED | {NamespaceType.MNT: Choice.HOST},
            "rootfs": RootFS.system(),
        },
    ],
    ids=str,
)
def test_what_a_fork_cannot_become_it_is_not_made_for(fields):
    assert not can(attrs.evolve(BoxSpec(rootfs=ROOT), **fields))


@pytest.mark.usefixtures("caller")
def test_another_interpreter_or_isolation_has_none():
    assert not can(python=sys.executable)
    assert not can(isolation="box")
    assert not can(isolation="none")


def test_a_user_namespace_must_be_the_workers_own_and_have_a_root(caller):
    joined = nsbox.ISOLATED | {NamespaceType.NET: "/run/netns/some"}
    assert can(BoxSpec(rootfs=ROOT, namespaces=joined)) == caller.privileged
    of_ranges = BoxSpec(rootfs=ROOT, id_map=IDMap.ranges([(0, 100000, 1000)], uid=5))
    assert not can(of_ranges)
    assert can(BoxSpec(rootfs=ROOT, id_map=IDMap.same())) == caller.privileged


def test_a_caller_with_some_rights_alone_has_none(monkeypatch):
    some = user(Capability.CAP_SYS_ADMIN)
    monkeypatch.setattr(Caller, "current", lambda: some)
    assert not can()
