"""Bundles: a folder with a ``config.json``. See the runtime specification's bundle.md."""

import json
import os
from pathlib import Path
from typing import Any

from nsbox.fields import StrPath
from nsbox.oci.config import from_config, to_config
from nsbox.oci.document import invalid
from nsbox.oci.process import Args
from nsbox.spec import BoxSpec

CONFIG = "config.json"


def write_bundle(path: StrPath, spec: BoxSpec, args: Args = ()) -> Path:
    """Make a bundle of the folder `path`, by which other runtimes run `args` in this spec's box.

    The folder is made if it is missing; the tree stays where `RootFS.directory` says, and is named
    by its absolute path. The file is for its owner alone, as an environment can hold secrets.
    Returns `path`. Raises `FileExistsError` where the folder has a ``config.json``, and what
    `to_config` raises.
    """
    text = json.dumps(to_config(spec, args), indent=2, ensure_ascii=False)
    bundle = Path(path)
    bundle.mkdir(parents=True, exist_ok=True)
    with open(bundle / CONFIG, "x", encoding="utf-8", opener=_private) as file:
        file.write(text + "\n")
    return bundle


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read_bundle(path: StrPath) -> tuple[BoxSpec, tuple[str, ...]]:
    """Return the spec and the command of the bundle in the folder `path`.

    Raises `OSError` where its ``config.json`` cannot be read, `ValueError` where that is no JSON
    document, and what `from_config` raises.
    """
    return from_config(read_config(path), bundle=path)


def read_config(path: StrPath) -> dict[str, Any]:
    """Return the configuration in a bundle. Raises `OSError`, and `ValueError` for no JSON."""
    try:
        config: dict[str, Any] = json.loads((Path(path) / CONFIG).read_bytes())
    except (ValueError, RecursionError) as error:
        raise invalid(CONFIG, f"no JSON document: {error}") from None
    return config
