"""Boxes by the ten thousand in one process: nothing may grow.

    python tests/soak/boxes.py [--count N] [--seconds S]

All kinds take turns. What this process and the kernel have is looked at after a tenth of the boxes,
and again at the end. The exit code is 1 where something has grown. Run it by itself: the kernel's
figures are the whole host's.
"""

import argparse
import contextlib
import errno
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nsbox
from nsbox import BoxSpec, Choice, NamespaceType, Resources, Security
from nsbox.kept import KEPT
from nsbox.lowered import Lowered

SLABS = (
    "cred", "dentry", "files_cache", "fs_cache", "kmalloc-1k", "mnt_cache", "net_namespace", "nsproxy",
    "pid_namespace", "pid_2", "proc_inode_cache", "shmem_inode_cache", "signal_cache",
    "sock_inode_cache", "task_struct", "user_namespace", "uts_namespace",
)  # fmt: skip
"""Caches of what a box is made of, as far as this kernel has them by name: slabinfo(5)."""

BOUND = {
    "memory": 6 << 20,
    "kernel memory": 96 << 20,
    "files of the host": 2000,
    "cgroups of the host": 50,
}
"""How much more there may be at the end, of what others have a part in; of all else, nothing."""


LOOKS = 5
"""How many times more the end is looked at before it is said that something has grown."""


def kinds() -> list[tuple[int, Callable[[], object]]]:
    """Each kind of box, and every which one is of it."""
    default = BoxSpec()
    user = BoxSpec(namespaces=nsbox.ISOLATED | {NamespaceType.USER: Choice.NEW}, hostname="soak")
    found: list[tuple[int, Callable[[], object]]] = [
        (97, lambda: stays(default)),
        (31, lambda: fails(default)),
        (23, lambda: breaks(default)),
        (19, lambda: times_out(default)),
        (11, lambda: nsbox.run(["true"], user, check=True)),
        (7, lambda: nsbox.run(["cat"], default, input=b"x" * 4096, capture_output=True)),
    ]
    if nsbox.probe().cgroups.writable:
        limits = Resources(memory_max="32M", pids_max=16)
        strict = BoxSpec(security=Security.strict(), resources=limits)
        found.insert(0, (29, lambda: nsbox.run(["true"], BoxSpec(resources=limits), check=True)))
        found.insert(0, (101, lambda: nsbox.run(["true"], strict, check=True)))
    return [*found, (1, lambda: nsbox.run(["true"], default, check=True))]


def stays(spec: BoxSpec) -> None:
    with spec.start() as box:
        box.run(["true"], check=True)
        (box.root / "tmp/file").write_text("x")


def fails(spec: BoxSpec) -> None:
    with contextlib.suppress(FileNotFoundError):
        nsbox.run(["no-such-command"], spec)


def breaks(spec: BoxSpec, place: list[int] = [0]) -> None:  # noqa: B006 - another step each time
    real, recall = KEPT.look_up, KEPT.recall

    def look_up(*args: object) -> Lowered:
        lowered = real(*args)
        place[0] = (place[0] + 1) % len(lowered.steps)
        return lowered.failing(place[0], errno.ENOMEM)

    KEPT.look_up, KEPT.recall = look_up, lambda *_, **__: None
    try:
        nsbox.run(["true"], spec)
    except nsbox.StepError:
        pass
    finally:
        KEPT.look_up, KEPT.recall = real, recall


def times_out(spec: BoxSpec) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        nsbox.run(["sleep", "1000"], spec, timeout=0.001)


def look() -> dict[str, int]:
    """What there is, here and in the kernel."""
    gc.collect()
    time.sleep(3)  # namespaces are taken down in the background
    found = {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "children": len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "memory": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"),
        "files of the host": int(Path("/proc/sys/fs/file-nr").read_text().split()[0]),
        "groups": sum(
            os.path.basename(folder).startswith(f"nsbox-{os.getpid()}-")
            for top in nsbox.hierarchies()
            for folder, _, _ in os.walk(top.mountpoint)
        ),
    }
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("SUnreclaim:"):
            found["kernel memory"] = int(line.split()[1]) << 10
    for line in Path("/proc/cgroups").read_text().splitlines()[1:]:
        _, _, groups, _ = line.split()
        found["cgroups of the host"] = max(found.get("cgroups of the host", 0), int(groups))
    with contextlib.suppress(OSError):
        for line in Path("/proc/slabinfo").read_text().splitlines():
            name, active, *_ = line.split()
            if name in SLABS:
                found[f"slab {name}"] = int(active)
    return found


def grown(before: dict[str, int], after: dict[str, int], boxes: int) -> list[str]:
    """Name what has grown: with the boxes, where others may have added to it."""
    return [
        name for name, value in after.items() if value - before.get(name, 0) > bound(name, boxes)
    ]


def bound(name: str, boxes: int) -> int:
    """How much more there may be of this after so many boxes."""
    if name in ("slab dentry", "slab proc_inode_cache"):
        return max(20_000, 2 * boxes)  # kept as long as there is room
    return max(1500, boxes // 5) if name.startswith("slab ") else BOUND.get(name, 0)


def look_again(before: dict[str, int], boxes: int) -> dict[str, int]:
    """Look until nothing has grown, a few times: what others had for a moment is gone by then."""
    after = look()
    for _ in range(LOOKS):
        if not grown(before, after, boxes):
            break
        after = look()
    return after


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=100_000, help="boxes to be started")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="or as many as go into")
    options = parser.parse_args()
    every = kinds()

    def use(number: int) -> None:
        next(make for step, make in every if number % step == 0)()

    began, done, before = time.monotonic(), 0, None
    while done < options.count and time.monotonic() - began < options.seconds:
        share = max(done / options.count, (time.monotonic() - began) / options.seconds)
        if before is None and share >= 0.1 and done >= 300:
            before, at = look(), done
        use(done + 1)
        done += 1
    assert before is not None, "too few boxes to tell"
    seconds = time.monotonic() - began
    after = look_again(before, done - at)
    found = grown(before, after, done - at)
    for name, value in after.items():
        was, mark = before.get(name, 0), " GROWN" if name in found else ""
        print(f"{name:24} {was:12} {value:12} {value - was:+10}{mark}")
    print(
        f"{done} boxes, {1000 * seconds / done:.1f} ms each; grown: {', '.join(found) or 'nothing'}"
    )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
