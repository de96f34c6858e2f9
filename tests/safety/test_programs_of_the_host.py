"""Nothing that runs outside of a box can be written to from inside, whatever names it."""

import fcntl
import hashlib
import os
import sys
import time
from pathlib import Path

import pytest

import nsbox
from nsbox import BoxSpec, Mount, RootFS, Security, _native

WRITER = r"""
import os, sys

held, written, seen = {}, set(), set()
print("ready", flush=True)
while not os.path.exists("/tmp/enough"):
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            name = os.readlink(f"/proc/{pid}/exe")
            if name not in held:
                held[name] = os.open(f"/proc/{pid}/exe", os.O_PATH)  # to be written to once it has ended
        except OSError:
            continue
        seen.add(name)
        if "nsbox-init" in name and not os.path.exists("/tmp/held"):
            open("/tmp/held", "w").close()
    for name, fd in held.items():
        for flags in (os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
            try:
                opened = os.open(f"/proc/self/fd/{fd}", flags)
            except OSError:
                continue
            try:
                os.pwrite(opened, b"#!/hostile\n", 0)
                written.add(name)
            except OSError:
                pass
            os.close(opened)
print("\n".join(["seen", *sorted(seen), "written", *sorted(written)]))
"""

PAYLOAD = "#!/proc/self/exe\n"
"""Executed by the one who enters a box, it has the kernel start that one's own program again."""


def digests() -> dict[str, str]:
    programs = [f"/proc/self/fd/{_native.first_process()}", os.path.realpath(sys.executable)]
    programs += ["/bin/sh", "/bin/cat"]
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in programs}


@pytest.mark.parametrize("security", [Security(), Security.privileged()], ids=["default", "all"])
def test_the_program_of_one_that_enters_cannot_be_written_to(security: Security) -> None:
    rootfs = RootFS.system(python=True).with_mounts(
        Mount.file("/payload", PAYLOAD, mode=0o755), Mount.file("/writer.py", WRITER)
    )
    before = digests()
    with BoxSpec(rootfs=rootfs, security=security).start() as box:
        command = [sys.executable, "/writer.py"]
        with box.popen(command, stdout=nsbox.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            deadline = time.monotonic() + 30
            while not (box.root / "tmp/held").exists() and time.monotonic() < deadline:
                # The first process's own program, which finds nothing there to be.
                assert box.run(["/payload"], timeout=30).returncode == 127
                assert box.run(["cat", "/dev/null"], timeout=30).returncode == 0
            for _ in range(5):
                box.run(["true"], timeout=30)  # it is tried to be written to meanwhile
            (box.root / "tmp/enough").write_text("")
            shown = writer.communicate(timeout=60)[0].split("\n")
    seen, written = shown[1 : shown.index("written")], shown[shown.index("written") + 1 : -1]
    assert any("nsbox-init" in name for name in seen)  # the attack came as far as that
    assert written == []
    assert digests() == before


def test_the_first_processs_image_takes_no_write_when_nobody_runs_it_either() -> None:
    """While somebody does, the kernel refuses it in any case."""
    image = os.open(f"/proc/self/fd/{_native.first_process()}", os.O_RDWR)
    try:
        same = os.pread(image, 1, 0)
        with pytest.raises(PermissionError):
            os.pwrite(image, same, 0)
        with pytest.raises(PermissionError):
            os.ftruncate(image, os.fstat(image).st_size + 1)
        with pytest.raises(PermissionError):  # nor are the seals taken off
            fcntl.fcntl(image, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    finally:
        os.close(image)


def test_the_interpreter_of_the_host_is_shown_read_only() -> None:
    script = f"echo x 2>/dev/null >> {sys.executable}; cp /bin/true {sys.executable}"
    done = nsbox.run(
        ["sh", "-c", script], BoxSpec(rootfs=RootFS.system(python=True)), capture_output=True
    )
    assert done.returncode != 0
    assert b"Read-only" in done.stderr
