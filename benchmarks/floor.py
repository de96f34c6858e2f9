"""The C floor: a spec's plan turned into straight C, compiled, and driven over pipes."""

import contextlib
import os
import pathlib
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from nsbox import BoxSpec, Step

HERE = pathlib.Path(__file__).parent
FREESTANDING = (
    "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie",
    "-fno-asynchronous-unwind-tables", "-fno-builtin", "-s", "-Wl,--build-id=none",
    "-Wl,-z,noseparate-code", "-Wl,-z,noexecstack",
)  # fmt: skip
SWITCHES = {"EXECVEAT", "VFORK"}
"""The operations at which a plan goes on in another process."""


class NoFloor(Exception):
    """This machine, or the floor as it is written, cannot do the plan; says why."""


@attrs.frozen
class Floor:
    """A compiled floor for one spec."""

    program: pathlib.Path
    environment: dict[str, str]

    def command(
        self, count: int, mode: Literal["box", "plain"], args: Sequence[str]
    ) -> tuple[str, ...]:
        """Return the command that makes so many starts; 0: one for each byte on its input."""
        return (str(self.program), str(count), mode, *args)


def compiled(spec: BoxSpec, folder: pathlib.Path, *, guarded: bool = False) -> Floor:
    """Compile the floor of a spec in an empty folder. Raises `NoFloor`."""
    (folder / "plan.h").write_text(_header(spec.plan()))
    program, image = folder / "floor", folder / "floor-init"
    options = [*shlex.split(os.environ.get("CC", "cc")), "-O2", f"-I{HERE}", f"-I{folder}"]
    options += ["-Werror=implicit-function-declaration", '-DFLOOR_PLAN="plan.h"']
    options += [f'-DFLOOR_INIT="{image}"', *(["-DGUARDED"] if guarded else [])]
    _compile([*options, "-o", str(program), str(HERE / "floor.c")])
    if spec.init:
        _compile([*options, *FREESTANDING, "-DFIRST_PROCESS", "-o", str(image), str(HERE / "floor.c")])
    return Floor(program, dict(spec.env))


def _compile(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError as error:
        raise NoFloor(f"no C compiler: {error.filename}") from None
    except subprocess.CalledProcessError as error:
        told = [line for line in error.stderr.splitlines() if "error:" in line]
        raise NoFloor((told or error.stderr.splitlines() or ["the compiler failed"])[0]) from None


def _header(plan: Sequence[Step]) -> str:
    """Write the three parts of a plan as C functions; the first part starts with the clone."""
    names = [step.operation.name for step in plan]
    if not names or names[0] != "CLONE3":
        raise NoFloor("the floor makes no groups: a spec without resources, please")
    cuts = [0, *(i for i, name in enumerate(names) if name in SWITCHES), len(plan)]
    parts = [range(a + 1, b) for a, b in zip(cuts, cuts[1:], strict=False)]
    parts += [range(0)] * (3 - len(parts))
    functions = zip(("leave_caller", "build_box", "become_command"), parts, strict=True)
    return "\n".join(
        [
            f"#define NAMESPACES {_literal(plan[0].arguments[0])}",
            f"#define HAS_FIRST_PROCESS {int('EXECVEAT' in names)}",
            *(line for name, part in functions for line in _function(name, plan, part)),
        ]
    )


def _function(name: str, plan: Sequence[Step], part: range) -> Iterator[str]:
    yield f"static inline void {name}(void)\n{{"
    for index in part:
        if plan[index].operation.name != "EXECVE":
            yield f"    STEP({index}, {_call(plan[index])});"
    yield "}\n"


def _call(step: Step) -> str:
    arguments: list[str] = []
    for (_, kind), value in zip(step.operation.operands, step.arguments, strict=True):
        match kind:
            case "slot" | "into" if isinstance(value, int) and value >= 0:
                arguments.append(f"{'&' if kind == 'into' else ''}slot[{int(value)}]")
            case "data" if isinstance(value, bytes):
                arguments += [_literal(value), str(len(value))]
            case _:
                arguments.append(_literal(value))
    return f"step_{step.operation.name.lower()}({', '.join(arguments)})"


def _literal(value: object) -> str:
    """Write a number or a string as C does."""
    if isinstance(value, int):
        return f"{int(value)}{'' if -(1 << 31) <= value < 1 << 31 else 'ULL'}"
    data = value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape")
    plain = b"\"\\?"
    return '"' + "".join(
        chr(byte) if 32 <= byte < 127 and byte not in plain else f"\\{byte:03o}" for byte in data
    ) + '"'


@contextlib.contextmanager
def driven(floor: Floor, mode: Literal["box", "plain"], args: Sequence[str]) -> Iterator["Drive"]:
    """Keep a floor waiting for orders, and end it with the block."""
    with subprocess.Popen(
        floor.command(0, mode, args),
        env=floor.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as process:
        yield Drive(process)
        assert process.stdin is not None
        process.stdin.close()


@attrs.frozen
class Drive:
    """A floor that waits for orders."""

    process: "subprocess.Popen[bytes]"

    def start(self) -> float:
        """Let it start its command once; return the seconds that it took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b".")
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the floor ended with {self.process.wait()}")
        return float(answer) / 1e6
