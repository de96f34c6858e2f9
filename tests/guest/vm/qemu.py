"""The command line of the virtual machine: qemu-system-x86_64(1)."""

import os
from collections.abc import Iterator
from pathlib import Path

from vm.needs import QEMU

CHANNELS = ("stdout", "stderr", "report", "status")
"""Ways out of the guest, each a named pipe of the host; see start.sh."""

ACCELERATOR = os.environ.get("NSBOX_GUEST_ACCELERATOR", "tcg,thread=single")
"""``kvm`` is many times faster, where the machine has it in good order.

With a thread for each processor (``thread=multi``) a suite takes as long, for it seldom has work for
two; and there kernels have hung, rarely, with soft lockups of both processors at once.
"""

# With cmpxchg16b, the emulation of qemu 7.2 corrupts flags, and some kernels panic.
CPU = "max,-cx16"

KERNEL_PARAMETERS = (
    *("console=ttyS0", "loglevel=5", "panic=-1"),
    # One that hangs says where, after two minutes.
    *("watchdog_thresh=60", "softlockup_panic=1", "softlockup_all_cpu_backtrace=1"),
    *("tsc=reliable", "mitigations=off", "init_on_alloc=0", "random.trust_cpu=on"),
)


def command(folder: Path, kernel: Path, *, cpus: int, megabytes: int, layout: str) -> list[str]:
    """Return the command for a machine whose disks, pipes and initramfs are in `folder`."""
    parameters = [*KERNEL_PARAMETERS, *(["cgroup_no_v1=all"] if layout == "v2" else [])]
    return [
        QEMU,
        *("-machine", "q35,memory-backend=ram", "-accel", ACCELERATOR, "-cpu", CPU),
        *("-smp", str(cpus), "-m", f"{megabytes}M"),
        # Shared, because virtiofsd reads and writes the guest's memory.
        *("-object", f"memory-backend-memfd,id=ram,share=on,size={megabytes}M"),
        *("-nodefaults", "-display", "none", "-no-reboot"),
        *("-kernel", str(kernel), "-initrd", f"{folder}/initramfs"),
        *("-append", " ".join(parameters), "-serial", f"file:{folder}/console"),
        *_disk(folder / "scratch"),
        *_disk(folder / "spare"),
        *("-chardev", f"socket,id=host,path={folder}/virtiofs"),
        *("-device", "vhost-user-fs-pci,chardev=host,tag=host"),
        *("-device", "virtio-serial"),
        *(word for channel in CHANNELS for word in _channel(folder, channel)),
    ]


def _disk(file: Path) -> Iterator[str]:
    yield from ("-drive", f"if=virtio,format=raw,cache=unsafe,discard=unmap,file={file}")


def _channel(folder: Path, name: str) -> Iterator[str]:
    yield from ("-chardev", f"file,id={name},path={folder}/{name}")
    yield from ("-device", f"virtserialport,chardev={name},name={name}")
