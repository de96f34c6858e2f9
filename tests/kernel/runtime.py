#!/usr/bin/env python3
"""A container runtime with the command line of runc's, over `nsbox.oci`: what podman can drive."""

import argparse
import contextlib
import json
import os
import socket
import sys
import time
import warnings

from nsbox import NsboxError
from nsbox.oci import Container


def parser():
    top = argparse.ArgumentParser(prog="nsbox-runtime", allow_abbrev=False)
    for option in ("--root", "--log", "--log-format", "--rootless"):
        top.add_argument(option)
    for option in ("--systemd-cgroup", "--debug"):
        top.add_argument(option, action="store_true")
    top.add_argument("--version", action="version", version="nsbox-runtime")
    verbs = top.add_subparsers(dest="verb", required=True)
    streams = argparse.ArgumentParser(add_help=False)
    for option in ("--console-socket", "--pid-file"):
        streams.add_argument(option)
    streams.add_argument("--preserve-fds", type=int, default=0)
    for option in ("--detach", "--tty", "--no-pivot", "--no-new-keyring"):  # the last two: as here
        streams.add_argument(option, action="store_true")
    for verb in ("create", "run"):
        made = verbs.add_parser(verb, parents=[streams])
        made.add_argument("--bundle", "-b", default=".")
        made.add_argument("id")
    joined = verbs.add_parser("exec", parents=[streams])
    joined.add_argument("--process", "-p")
    joined.add_argument("--env", "-e", action="append", default=[])
    joined.add_argument("--cwd")
    joined.add_argument("id")
    joined.add_argument("args", nargs=argparse.REMAINDER)
    for verb in ("start", "state", "kill", "delete"):
        other = verbs.add_parser(verb)
        other.add_argument("--all", "-a", action="store_true")
        other.add_argument("--force", "-f", action="store_true")
        other.add_argument("id")
        if verb == "kill":
            other.add_argument("signal", nargs="?", default="SIGTERM")
    return top


@contextlib.contextmanager
def streams(options):
    """Open what goes with a process: its console, and the descriptors that it keeps."""
    kept = tuple(range(3, 3 + options.preserve_fds))
    if options.console_socket is None:
        yield {"pass_fds": kept}
        return
    with socket.socket(socket.AF_UNIX) as console:
        console.connect(options.console_socket)
        yield {"pass_fds": kept, "console": console.fileno()}


def write_pid(options, pid):
    if options.pid_file is not None:
        with open(f"{options.pid_file}.new", "w", encoding="ascii") as file:
            file.write(str(pid))
        os.rename(f"{options.pid_file}.new", options.pid_file)


def wait(pid):
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def create(options):
    with streams(options) as given:
        made = Container.create(options.bundle, options.id, root=options.root, **given)
    write_pid(options, made.pid)
    return made


def run(options):
    made = create(options)
    pid = made.pid
    made.start()
    if options.detach:
        return 0
    code = wait(pid)
    made.delete()
    return code


def execute(options, found):
    if options.process is not None:
        with open(options.process, encoding="utf-8") as file:
            process = json.load(file)
    else:
        process = found.process | {"args": options.args, "terminal": options.tty}
        process["env"] = [*process.get("env", []), *options.env]
        process["cwd"] = options.cwd or process["cwd"]
    with streams(options) as given:
        pid = found.exec(process, **given)
    write_pid(options, pid)
    return 0 if options.detach else wait(pid)


def main(options):
    if options.systemd_cgroup:
        raise ValueError("--systemd-cgroup: groups are made by name, not asked for at systemd")
    if options.verb == "run":
        return run(options)
    if options.verb == "create":
        create(options)
        return 0
    try:
        found = Container.load(options.id, root=options.root)
    except FileNotFoundError:
        if options.verb == "delete" and options.force:
            return 0
        raise ValueError(f"container {options.id!r} does not exist") from None
    if options.verb == "exec":
        return execute(options, found)
    if options.verb == "state":
        print(json.dumps(found.state))
    elif options.verb == "start":
        found.start()
    elif options.verb == "kill":
        found.kill(options.signal, all=options.all)
    else:
        found.delete(force=options.force)
    return 0


def log(options, text):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = json.dumps({"level": "error", "msg": text, "time": now})
    if options.log is not None:
        with open(options.log, "a", encoding="utf-8") as file:
            print(told if options.log_format == "json" else text, file=file)
    print(f"nsbox-runtime: {text}", file=sys.stderr)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ResourceWarning)
    chosen = parser().parse_args()
    try:
        sys.exit(main(chosen))
    except (NsboxError, OSError, ValueError) as error:
        log(chosen, str(error))
        sys.exit(1)
