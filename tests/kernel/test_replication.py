"""A replicated system of other people's, one program to a machine, on a wire that is cut.

Redis, a primary with two replicas, and two Sentinels that watch over them. What counts as
acknowledged is what the writer was told to be on two machines besides the first primary, or, once
that is cut off, on the one that is left besides the new primary.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

import nsbox
from nsbox import Box, BoxSpec, Fleet, Process

pytest.importorskip("pyroute2", reason="needs the extra nsbox[net]")

from nsbox.network import Bridge

pytestmark = [
    pytest.mark.usefixtures("root"),
    pytest.mark.skipif(
        shutil.which("redis-server") is None, reason="needs redis-server (Debian: redis-server)"
    ),
]

PORT, WATCH = "6379", "26379"
PATIENCE = 60
REDIS = (
    *("redis-server", "--dir", "/tmp", "--save", "", "--protected-mode", "no"),
    *("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"),
    *("--repl-ping-replica-period", "1", "--repl-timeout", "3", "--repl-diskless-sync-delay", "0"),
)
SENTINEL = """
port 26379
dir /tmp
protected-mode no
sentinel monitor main {primary} 6379 2
sentinel down-after-milliseconds main 60000
sentinel failover-timeout main 10000
"""
# Sentinel is patient by default: it looks at roles every 10 s, lets an old primary alone for 8, and
# does nothing for 30 after a machine as busy as this one has kept it waiting for 2.
HASTE = ("info-period 300", "publish-period 250", "tilt-trigger 20000")

WRITER = """
import itertools, json, socket, sys
first = sys.argv[1]

class Server:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=0.8)
        self.file = self.socket.makefile("rb")
    def ask(self, *words):
        parts = [b"$%d\\r\\n%s\\r\\n" % (len(w), w) for w in (str(w).encode() for w in words)]
        self.socket.sendall(b"*%d\\r\\n" % len(parts) + b"".join(parts))
        return self.answer()
    def answer(self):
        line = self.file.readline()
        if not line.endswith(b"\\r\\n") or line.startswith(b"-"):
            raise OSError(line)
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

server, host = None, None
for number in itertools.count():
    try:
        if server is None:
            host, port = Server("127.0.0.1", 26379).ask("sentinel", "get-master-addr-by-name", "main")
            server = Server(host, port)
        server.ask("set", f"key{number}", number)
        if server.ask("wait", 2 if host == first else 1, 700) >= (2 if host == first else 1):
            print(json.dumps([number, host]), flush=True)
    except OSError:
        server = None
"""


class Cluster:
    """The machines, by what each does."""

    def __init__(self, stack: ExitStack) -> None:
        self.lan = stack.enter_context(Bridge.create("10.77.0.1/24"))
        spec = BoxSpec(link=self.lan)
        names = ("redis0", "redis1", "redis2", "watch0", "watch1")
        specs = [one for name in names for one in spec.replicate(1, hostname=name)]
        self.machines = stack.enter_context(Fleet.start(specs, check=True))
        self.stack = stack
        self.redis, self.watchers = tuple(self.machines)[:3], tuple(self.machines)[3:]
        self.first = self.redis[0]

    def begin(self) -> None:
        assert self.first.address
        self._serve(self.first, [*REDIS])
        for replica in self.redis[1:]:
            self._serve(replica, [*REDIS, "--replicaof", self.first.address, PORT])
        until(lambda: told(self.first, "connected_slaves") == "2")
        for watcher in self.watchers:
            settings = SENTINEL.format(primary=self.first.address)
            (watcher.root / "tmp/sentinel.conf").write_text(settings)
            self._serve(watcher, ["redis-server", "/tmp/sentinel.conf", "--sentinel"])
        for watcher in self.watchers:
            until(lambda w=watcher: ask(w, "ping", port=WATCH) == "PONG")
            for words in HASTE:
                assert ask(watcher, f"sentinel debug {words}", port=WATCH) == "OK"
        for watcher in self.watchers:
            until(lambda w=watcher: "ok 2 usable" in self.quorum(w))
            until(lambda w=watcher: self.replicas_known(w) == 2)

    def quorum(self, watcher: Box) -> str:
        return ask(watcher, "sentinel ckquorum main", port=WATCH).lower()

    def replicas_known(self, watcher: Box) -> int:
        return ask(watcher, "sentinel replicas main", port=WATCH).splitlines().count("name")

    def presume_dead_after(self, milliseconds: int) -> None:
        """Little for who is cut off; else much, or who merely stalls is replaced."""
        for watcher in self.watchers:
            words = f"sentinel set main down-after-milliseconds {milliseconds}"
            assert ask(watcher, words, port=WATCH) == "OK"

    def primary(self) -> str:
        shown = ask(self.watchers[0], "sentinel get-master-addr-by-name main", port=WATCH)
        return shown.partition("\n")[0]

    def _serve(self, machine: Box, command: list[str]) -> None:
        self.stack.enter_context(machine.popen(command, stdout=nsbox.DEVNULL))
        if "--sentinel" not in command:
            until(lambda: ask(machine, "ping") == "PONG")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with ExitStack() as stack:
        made = Cluster(stack)
        made.begin()
        yield made


def ask(machine: Box, words: str, *, port: str = PORT, host: str = "127.0.0.1") -> str:
    done = machine.run(
        ["redis-cli", "-h", host, "-p", port, *words.split()], capture_output=True, text=True
    )
    return str(done.stdout).strip()


def told(machine: Box, field: str) -> str:
    lines = ask(machine, "info replication").splitlines()
    return dict(line.partition(":")[::2] for line in lines).get(field, "")


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


class Writer:
    """Writes one key after another, to whoever is the primary; tells which were acknowledged."""

    def __init__(self, machine: Box, first: str) -> None:
        self.process: Process = machine.popen(
            ["/usr/bin/python3", "-ISc", WRITER, first], stdout=nsbox.PIPE, text=True
        )
        self.acknowledged: dict[int, str] = {}

    def until(self, true: Callable[[int, str], bool]) -> None:
        """Read on until an acknowledged write is such."""
        while True:
            number, host = json.loads(self.process.stdout.readline())
            self.acknowledged[number] = host
            if true(number, host):
                return

    def go_on(self, count: int) -> None:
        """Read on until so many more were acknowledged."""
        for _ in range(count):
            self.until(lambda *_: True)


def test_a_cut_off_primary_is_replaced_and_comes_back_and_no_acknowledged_write_is_lost(
    cluster: Cluster,
) -> None:
    old = cluster.first
    assert old.address
    writer = Writer(cluster.watchers[0], old.address)
    with writer.process:
        writer.until(lambda number, _: number >= 50)
        others = [machine for machine in cluster.machines if machine is not old]
        cluster.lan.partition([old], others)
        cluster.presume_dead_after(500)

        # The side of the few: what is written there is not acknowledged, and soon not even taken.
        alone = old.run(
            ["redis-cli"], input="set minority 1\nwait 1 200\n", capture_output=True, text=True
        )
        assert alone.stdout.split() == ["OK", "0"] or "NOREPLICAS" in alone.stdout
        until(lambda: "NOREPLICAS" in ask(old, "set minority 2"))

        # The side of the many: another is the primary, and takes writes.
        writer.until(lambda _, host: host != old.address)
        cluster.presume_dead_after(60_000)
        new = next(machine for machine in cluster.redis if machine.address == cluster.primary())
        assert new is not old
        assert told(new, "role") == "master"
        assert told(old, "role") == "master"  # it cannot know
        writer.go_on(50)

        cluster.lan.heal()
        until(lambda: told(old, "role") == "slave" and told(old, "master_host") == new.address)
        until(lambda: told(old, "master_link_status") == "up")
        writer.go_on(50)
    until(lambda: told(new, "connected_slaves") == "2")

    assert set(writer.acknowledged.values()) == {old.address, new.address}
    keys = [f"key{number}" for number in writer.acknowledged]
    for machine in (new, old):
        until(lambda m=machine: told(m, "master_repl_offset") == told(new, "master_repl_offset"))
        found = ask(machine, " ".join(["mget", *keys])).splitlines()
        assert found == [str(number) for number in writer.acknowledged]
        assert ask(machine, "exists minority") == "0"
