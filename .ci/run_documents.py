"""Run every Python code block of the documents named, each document in a namespace of its own."""

import pathlib
import re
import sys

for name in sys.argv[1:]:
    text = pathlib.Path(name).read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": name}
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S), 1):
        print(f"{name}: block {number}")
        exec(compile(block, f"{name}, block {number}", "exec"), namespace)
