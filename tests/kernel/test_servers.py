"""Other people's servers, unmodified, each in a box that stays: talked to, frozen, ended."""

import glob
import os
import pwd
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nsbox
from nsbox import Box, BoxSpec, IDMap, Mount, Process, RootFS

POSTGRES = next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)), "")
needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs redis-server (Debian: redis-server)"
)
needs_postgres = pytest.mark.skipif(
    not os.path.exists(f"{POSTGRES}/postgres"), reason="needs PostgreSQL (Debian: postgresql)"
)


def until_ready(box: Box, command: list[str], **parameters: Any) -> None:
    deadline = time.monotonic() + 60
    while box.run(command, capture_output=True, **parameters).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@needs_redis
def test_redis_serves_on_the_boxs_loopback_and_stops_cleanly() -> None:
    with BoxSpec(hostname="redis").start() as box:
        command = ["redis-server", "--dir", "/tmp", "--save", "", "--bind", "127.0.0.1"]
        server = box.popen(command, stdout=nsbox.PIPE, text=True)

        def ask(*words: str) -> str:
            done = box.run(["redis-cli", *words], capture_output=True, text=True, check=True)
            return str(done.stdout).strip()

        until_ready(box, ["redis-cli", "ping"])
        assert ask("ping") == "PONG"
        assert ask("set", "key", "value") == "OK"
        if nsbox.probe().cgroups.writable:
            box.freeze()
            time.sleep(0.2)
            box.thaw()
        assert ask("get", "key") == "value"
        assert box.stop(timeout=60) == 0
        assert server.wait(timeout=60) == 0
        assert "ready to exit, bye bye" in server.stdout.read()
        server.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        for above in tmp_path.parents:
            if os.stat(above).st_uid == 0 and str(above).startswith("/tmp/"):
                above.chmod(0o755)
        tmp_path.chmod(0o755)
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, pwd.getpwnam("postgres").pw_gid)
    return folder


class Database:
    """PostgreSQL in a box, its data in a folder of the host's. It refuses to run as root."""

    def __init__(self, data: Path) -> None:
        self.who: dict[str, Any] = {}
        self.spec = BoxSpec(
            rootfs=RootFS.system().with_mounts(Mount.bind(data, "/data")), hostname="database"
        )
        if os.geteuid() == 0:
            self.who = {"user": "postgres", "group": "postgres", "extra_groups": []}
        else:
            kinds = nsbox.ISOLATED | {nsbox.NamespaceType.USER: nsbox.Choice.NEW}
            self.spec = BoxSpec(
                rootfs=self.spec.rootfs, namespaces=kinds, id_map=IDMap.same(), hostname="database"
            )

    def start(self, box: Box) -> Process:
        flags = ["-D", "/data", "-k", "/tmp", "-h", "127.0.0.1"]
        log = nsbox.PIPE
        server = box.popen([f"{POSTGRES}/postgres", *flags], stderr=log, text=True, **self.who)
        until_ready(box, [f"{POSTGRES}/pg_isready", "-h", "127.0.0.1"], **self.who)
        return server

    def psql(self, *commands: str) -> list[str]:
        flags = ["-h", "127.0.0.1", "-U", "owner", "-d", "postgres", "-At", "-q"]
        return [f"{POSTGRES}/psql", *flags, *(word for text in commands for word in ("-c", text))]

    def ask(self, box: Box, *commands: str) -> str:
        done = box.run(self.psql(*commands), capture_output=True, text=True, **self.who)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)


@pytest.fixture
def database(data: Path) -> Iterator[Database]:
    made = Database(data)
    flags = ["-D", "/data", "-U", "owner", "-A", "trust", "-E", "UTF8", "--no-locale"]
    done = nsbox.run(
        [f"{POSTGRES}/initdb", *flags], made.spec, capture_output=True, text=True, **made.who
    )
    assert done.returncode == 0, done.stderr
    yield made
    if os.geteuid() == 0:
        shutil.rmtree(data)


@needs_postgres
def test_postgresql_serves_on_the_boxs_loopback_and_stops_cleanly(database: Database) -> None:
    with database.spec.start() as box:
        server = database.start(box)
        database.ask(box, "create table t (n int)", "insert into t select generate_series(1, 1000)")
        if nsbox.probe().cgroups.writable:
            box.freeze()
            time.sleep(0.2)
            box.thaw()
        assert database.ask(box, "select sum(n) from t") == "500500\n"
        assert box.stop(timeout=60) == 0
        assert server.wait(timeout=60) == 0
        assert "database system is shut down" in server.stderr.read()
        server.close()


@needs_postgres
def test_what_postgresql_has_committed_outlives_a_kill(database: Database) -> None:
    count = 40_000  # more than a pipe takes: until it is read to the end, not all are written
    with tempfile.TemporaryFile("w+") as insert, database.spec.start() as box:
        insert.write("\\set ECHO none\n")
        insert.writelines(f"insert into t values ({n});\n\\echo {n}\n" for n in range(count))
        insert.seek(0)
        server = database.start(box)
        database.ask(box, "create table t (n int primary key)")
        writer = box.popen(
            database.psql(), stdin=insert, stdout=nsbox.PIPE, text=True, **database.who
        )
        said = "".join(writer.stdout.readline() for _ in range(500))
        box.kill()
        assert box.wait(timeout=60) is not None
        said += writer.stdout.read()
        for command in (writer, server):
            command.close()
    committed = [int(line) for line in said.split("\n")[:-1] if line]
    assert 0 < len(committed) < count
    with database.spec.start() as box:
        server = database.start(box)
        found = [int(n) for n in database.ask(box, "select n from t order by n").split()]
        assert found[: len(committed)] == committed
        assert found == list(range(len(found)))
        box.stop(timeout=60)
        server.close()
