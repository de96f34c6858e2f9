"""The site is made once, by the session that asks for it; NSBOX_SITE names one that is made already."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "NSBOX_SITE" in os.environ:
        return Path(os.environ["NSBOX_SITE"])
    pytest.importorskip("myst_nb", reason="needs the extra nsbox[docs]")
    made = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-n", "-W", "-q", "-d", f"{made}.trees", DOCS, made]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    return made
