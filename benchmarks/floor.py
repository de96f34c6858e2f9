"""The floor in C for a spec: its plan written out as straight-line calls, compiled, and started."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from caller import SPECS, as_user

import nsbox
from nsbox._native import SLOTS
from nsbox.cgroup.lower import NUMBER
from nsbox.kept import KEPT
from nsbox.options import NO_OPTIONS
from nsbox.plan import Slot, Step

HERE = Path(__file__).parent
STATIC = [
    "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie",
    "-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns",
]  # fmt: skip


class Floor:
    """A running floor program: each `start` starts its command once."""

    def __init__(self, program: Path, mode: str, true: list[str], user: str | None = None):
        self._process = subprocess.Popen(
            [program, "0", mode, *true],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **as_user(user),
        )

    def start(self) -> float:
        """Start the command once; return the milliseconds until it has ended."""
        stdin, stdout = self._pipes()
        stdin.write(b"x")
        stdin.flush()
        return float(stdout.readline()) / 1000

    def close(self) -> None:
        """End the program."""
        for pipe in self._pipes():
            pipe.close()
        self._process.wait()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def compile_floor(
    folder: Path,
    box: str,
    interpreter: Sequence[str | Path] = (sys.executable, HERE),
    user: str | None = None,
    *,
    guarded: bool = True,
) -> Path:
    """Compile the floor of one of `SPECS`, its static first process beside it; return its path.

    The plan depends on who asks, so the header comes from this file run as `user`: `interpreter` is
    theirs, and the folder in which they find the benchmark. For `guarded` see floor.c.
    """
    python, benchmarks = interpreter
    name = f"{user or 'root'}-{list(SPECS).index(box)}{'' if guarded else '-unguarded'}"
    plan, init, program = (folder / f"{name}{end}" for end in (".h", "-init", ""))
    with plan.open("wb") as file:
        make = [python, Path(benchmarks, "floor.py"), box]
        subprocess.run(make, check=True, stdout=file, **as_user(user))
    shared = ["cc", "-O2", f'-DFLOOR_PLAN="{plan}"', f"-DSLOTS={SLOTS}"]
    shared += [f"-DTEMPLATE_SLOT={Slot.NS_MNT:d}", "-D_GNU_SOURCE"]
    shared += ["-DGUARDED"] if guarded else []
    source = str(HERE / "floor.c")
    subprocess.run([*shared, *STATIC, "-DFIRST_PROCESS", source, "-o", init], check=True)
    subprocess.run([*shared, f'-DFLOOR_INIT="{init}"', source, "-o", program], check=True)
    return program


def plans(spec: nsbox.BoxSpec) -> tuple[list[Step], list[Step]]:
    """Return the steps of a second box of a spec, and those of the template that it copies."""
    first = KEPT.look_up(spec, NO_OPTIONS, None)
    if first.template is None:
        return list(first.steps), []
    return list(first.quickest.steps), list(first.template.steps())


def header(plan: list[Step], template: list[Step], spec: nsbox.BoxSpec) -> str:
    """Write a plan as the functions that floor.c calls."""
    names = [step.operation.name for step in plan]
    into = "CLONE3_INTO" in names
    begin = names.index("CLONE3_INTO" if into else "CLONE3")
    init = names.index("EXECVEAT") if spec.init else len(plan) - 1
    command = names.index("CLONE_VM") if spec.init else len(plan) - 1
    flags, *group = plan[begin].arguments
    parts = {
        "make_groups": range(begin),
        "leave_caller": range(begin + 1, init),
        "build_box": range(init + 1, command),
        "become_command": range(command + 1, len(plan) - 1),
    }
    lines = [f"#define NAMESPACES {int(str(int(flags)))}ULL"]  # type: ignore[arg-type]
    lines.append(f"#define HAS_FIRST_PROCESS {int(spec.init)}")
    lines.append(f"#define HAS_TEMPLATE {int(bool(template))}")
    lines.append(f"#define INTO_GROUP {f'slot[{int(group[0])}]' if into else -1}")  # type: ignore[arg-type]
    for function, indexes in parts.items():
        lines += _function(function, plan, indexes)
    lines += _function("make_template", template, range(len(template)))
    folders = [str(s.arguments[0]) for s in plan[:begin] if s.operation.name == "MKDIR"]
    removed = "".join(
        f"    STEP(996, SYS(unlinkat, AT_FDCWD, {_text(folder.encode())}, AT_REMOVEDIR));\n"
        for folder in folders
    )
    lines.append(f"static inline void remove_groups(void)\n{{\n{removed}}}")
    return "\n".join(lines) + "\n"


def _function(name: str, steps: list[Step], indexes: range) -> list[str]:
    calls = [f"    STEP({index}, {_call(steps[index])});" for index in indexes]
    return [f"static inline void {name}(void)\n{{", *calls, "}"]


def _call(step: Step) -> str:
    words: list[str] = []
    for (_, kind), value in zip(step.operation.operands, step.arguments, strict=True):
        if kind == "shown":
            continue
        if kind in ("slot", "into"):
            place = "AT_FDCWD" if value == Slot.CWD else f"slot[{int(value)}]"  # type: ignore[arg-type]
            words.append(f"&{place}" if kind == "into" else place)
        elif isinstance(value, int):
            words.append(f"{int(value)}L")
        else:
            content = value if isinstance(value, bytes) else str(value).encode()
            words.append(_text(content))
            words += [str(len(content))] if kind == "data" else []
    return f"step_{step.operation.name.lower()}({', '.join(words)})"


def _text(content: bytes) -> str:
    """Write a string of C's; a group has one name here, as there is one box at a time."""
    content = content.replace(NUMBER.encode(), b"floor")
    return '"' + "".join(f"\\{byte:03o}" for byte in content) + '"'


if __name__ == "__main__":
    spec = SPECS[sys.argv[1]]
    print(header(*plans(spec), spec), end="")
