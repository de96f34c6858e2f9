"""What the unit tests share: how hypothesis runs, and hosts that are but folders."""

import errno
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import hypothesis
import pytest

from nsbox.constants import Capability
from nsbox.host.host import Host

# No deadline: a busy machine is no failure. No database: the tests may not be able to write here.
hypothesis.settings.register_profile("nsbox", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("nsbox")

KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")

USER_HOST: Mapping[str, str] = {
    **{f"/proc/self/ns/{kind}": "" for kind in KINDS},
    **{f"/proc/sys/user/max_{kind}_namespaces": "31335\n" for kind in KINDS},
    "/proc/sys/kernel/osrelease": "6.8.0-45-generic\n",
    "/proc/thread-self/status": "Name:\tpython3\nNoNewPrivs:\t0\nSeccomp:\t0\n",
    "/proc/thread-self/cgroup": "0::/user.slice/app.scope\n",
    "/proc/self/mountinfo": (
        "29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "33 29 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    ),
    "/sys/fs/cgroup/user.slice/app.scope/cgroup.controllers": "cpu memory pids\n",
    "/proc/filesystems": "nodev\tproc\nnodev\toverlay\n\text4\n",
    "/etc/subuid": "me:100000:65536\n",
    "/etc/subgid": "me:100000:65536\n",
    "/usr/bin/newuidmap": "#!",
    "/usr/bin/newgidmap": "#!",
}
"""A present-day system with one cgroup v2 tree, as an ordinary user sees it: nothing is lacking."""


@pytest.fixture(scope="session")
def attempt() -> Callable[..., tuple[object, str | None]]:
    """What a parser makes of a text, or its complaint; any other exception is a failure."""

    def call(parse: Callable[[object], object], text: object) -> tuple[object, str | None]:
        try:
            return parse(text), None
        except ValueError as error:
            return None, str(error)

    return call


MakeHost = Callable[..., Host]


@pytest.fixture
def make_host(tmp_path: Path) -> MakeHost:
    """Make a host from files by path (None takes one away), and the caller's answers."""

    def make(
        files: Mapping[str, str | None] | None = None,
        *,
        uid: int = 1000,
        login: str | None = "me",
        capabilities: Capability = Capability(0),
        answers: Mapping[str, int] | None = None,
        may_write: Callable[[Path], bool] = lambda _: True,
    ) -> Host:
        for name, content in {**USER_HOST, **(files or {})}.items():
            if content is not None:
                path = tmp_path / name.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, errors="surrogateescape")
                if content.startswith("#!"):
                    path.chmod(0o755 | stat.S_ISUID)
        known = {"landlock_create_ruleset": 4, **(answers or {})}
        return Host(
            root=tmp_path,
            uid=uid,
            login=login,
            search_path="/bin:/usr/bin",
            capabilities=capabilities,
            ask=lambda call: known.get(call, -errno.EINVAL),
            may_write=may_write,
        )

    return make
