#!/usr/bin/env python3
"""Run a command in a throw-away guest that sees this machine's files: see --help."""

import argparse
import os
import sys
from pathlib import Path

from vm import kernel
from vm.machine import ENVIRONMENT, Guest, GuestError
from vm.needs import missing

PASSED_ON = ("NSBOX_", "PYTHON", "PYTEST_")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="%(prog)s [options] -- COMMAND...",
        description="Run a command in a virtual machine whose root is this machine's, read only, "
        "under a throw-away overlay: in the current folder, with no input. Its output, errors "
        "and exit status are passed on (125: the guest itself failed).",
    )
    parser.add_argument("--cgroup", choices=("v2", "v1", "hybrid"), default="v2")
    parser.add_argument("--user", help="run it as this ordinary user, in a delegated v2 subtree")
    parser.add_argument("--kernel", type=Path, help="a vmlinuz; default: the newest cloud kernel")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds; default: 1800")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--megabytes", type=int, default=2048, help="of memory; default: 2048")
    parser.add_argument("command", nargs="+", help="it finds NSBOX_*, PYTHON* and PYTEST_* as here")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if reasons := missing():
        sys.exit("; ".join(reasons))
    image = options.kernel or next((one.image for one in kernel.installed()), None)
    if image is None:
        sys.exit("no kernel in /boot (Debian: linux-image-cloud-amd64): name one by --kernel")
    guest = Guest(
        kernel=kernel.Kernel.of(image),
        layout=options.cgroup,
        user=options.user,
        reached=(Path(options.command[0]).resolve(),) if "/" in options.command[0] else (),
        cpus=options.cpus,
        megabytes=options.megabytes,
    )
    env = {name: text for name, text in os.environ.items() if name.startswith(PASSED_ON)}
    sinks = {
        "stdout": lambda data: os.write(1, data),
        "stderr": lambda data: os.write(2, data),
    }
    try:
        return guest.run(
            options.command, sinks, env={**env, **ENVIRONMENT}, timeout=options.timeout
        )
    except GuestError as error:
        print(error, file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main())
