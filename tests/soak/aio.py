"""5,000 boxes run through asyncio, 50 at once, some cancelled: right answers, and nothing left.

python tests/soak/aio.py [--scale 0.1]
"""

import asyncio
import contextlib
import os
import sys

from remains import Growth, nothing_left, scale

import nsbox

RUNS = 5_000
AT_ONCE = 50
EVERY = 100
"""Each so many-th is cancelled in the middle."""


def main() -> None:
    runs = max(int(RUNS * scale()), AT_ONCE)
    with nothing_left(f"{runs} runs, {AT_ONCE} at once") as growth:
        wrong, threads = asyncio.run(soak(runs, growth))
    print(f"at most {threads} threads")
    if wrong:
        sys.exit(f"{len(wrong)} wrong answers: {wrong[:10]}")


async def soak(runs: int, growth: Growth) -> tuple[list[str], int]:
    """Let so many workers take the next number, until there are none left."""
    numbers = iter(range(runs))
    wrong: list[str] = []
    seen = 0

    async def work() -> None:
        nonlocal seen
        for number in numbers:
            if (text := await one(number)) is not None:
                wrong.append(text)
            seen = max(seen, len(os.listdir("/proc/self/task")))
            if number >= runs // 10:
                growth.warm()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return wrong, seen


async def one(number: int) -> str | None:
    """Run one box, and tell what was wrong with its answer."""
    if number % EVERY == 0:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(nsbox.aio.run(["sleep", "60"]), 0.2)
            return f"{number}: not cancelled"
        return None
    done = await nsbox.aio.run(
        ["sh", "-c", f"read line; echo $line {number}; exit {number % 7}"],
        input=f"asked {number}\n",
        capture_output=True,
        text=True,
    )
    if (done.stdout, done.returncode) != (f"asked {number} {number}\n", number % 7):
        return f"{number}: {done!r}"
    return None


if __name__ == "__main__":
    main()
