"""Real programs in a real tree: Debian's, made by debootstrap, a server among them."""

import os
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, Mount, RootFS

TREE = Path(os.environ.get("NSBOX_DEBIAN_TREE", "/var/cache/nsbox-ci/debian"))

pytestmark = pytest.mark.skipif(
    not (TREE / "usr/bin/apt-get").exists(),
    reason=f"needs a Debian tree at $NSBOX_DEBIAN_TREE ({TREE}); `.ci/run` makes one",
)

SPEC = BoxSpec(rootfs=RootFS.directory(TREE, readonly=True))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["apt-get", "--version"], "apt "),
        (["python3", "-c", "import ssl; print(ssl.OPENSSL_VERSION)"], "OpenSSL"),
        (["dpkg", "--print-architecture"], ""),
        (["bash", "-c", "echo $BASH_VERSION"], "."),
    ],
    ids=["apt-get", "python3-ssl", "dpkg", "bash"],
)
def test_a_program_of_the_tree_runs(command: list[str], expected: str) -> None:
    done = nsbox.run(command, SPEC, capture_output=True, text=True, check=True, timeout=60)
    assert expected in done.stdout


def test_nginx_serves_a_folder_of_the_box_on_its_loopback(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("served from a box\n")
    config = """
        daemon off; pid /tmp/nginx.pid; error_log /dev/stderr; user root;
        events {}
        http { access_log off;
               client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
               uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
               server { listen 127.0.0.1:80; root /srv/www; } }
    """
    script = """
import subprocess, time, urllib.request
server = subprocess.Popen(["nginx", "-c", "/etc/nginx/box.conf"])
for _ in range(1200):
    try:
        print(urllib.request.urlopen("http://127.0.0.1/", timeout=2).read().decode(), end="")
        break
    except OSError:
        time.sleep(0.05)
server.terminate()
print(server.wait())
"""
    spec = BoxSpec(
        rootfs=SPEC.rootfs.with_mounts(
            Mount.bind(tmp_path, "/srv/www", readonly=True),
            Mount.file("/etc/nginx/box.conf", config),
            Mount.tmpfs("/var/lib/nginx"),
            Mount.tmpfs("/var/log/nginx"),
        )
    )
    done = nsbox.run(["python3", "-c", script], spec, capture_output=True, text=True, timeout=120)
    assert done.stdout == "served from a box\n0\n", done.stderr
