"""Run the code blocks of the documents named: Python's in a namespace for each document, and sh's.

A block of sh whose first word is a program that is not here is named and passed over.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.M | re.S)


def run_sh(block: str) -> None:
    program = block.split(maxsplit=1)[0]
    if shutil.which(program) is None:
        print(f"  skipped: {program} is not here")
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["sh", "-eu", "-c", block], check=True, cwd=folder, timeout=120)


for name in sys.argv[1:]:
    text = pathlib.Path(name).read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "__main__"}  # as in a reader's own script
    environment = dict(os.environ)
    for number, (language, block) in enumerate(BLOCK.findall(text), 1):
        print(f"{name}: block {number}", flush=True)
        if language == "sh":
            run_sh(block)
        else:
            exec(compile(block, f"{name}, block {number}", "exec"), namespace)
    os.environ.clear()
    os.environ.update(environment)
