"""Where containers are kept between the processes that look after them: a folder for each."""

import json
import os
import re
from pathlib import Path
from typing import Any

import attrs

from nsbox.fields import StrPath

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.-]{0,1023}", re.ASCII)
_STATE, CONFIG, START = "state.json", "config.json", "start"


def default_root() -> Path:
    """Return the folder of containers: /run/nsbox, or one of the user's own for an ordinary one."""
    if os.geteuid() == 0:
        return Path("/run/nsbox")
    own = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    return Path(own, "nsbox")


@attrs.frozen(kw_only=True)
class Record:
    """What is kept of a container beside its configuration.

    `pid` (0: it has none yet) and `starttime` name its process for good; `made` are the groups that
    are made for it, `groups` those that it is in; `after` the steps that are left when it is
    started.
    """

    pid: int
    starttime: int
    created: bool
    groups: list[str]
    made: list[str]
    after: dict[str, str]


class Folder:
    """The folder of one container, for its owner alone."""

    def __init__(self, root: StrPath | None, name: str) -> None:
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise ValueError(f"id: letters, digits and _ + - . after the first, not {name!r}")
        self.name = name
        self.path = (default_root() if root is None else Path(root)) / name

    def make(self, config: dict[str, Any]) -> None:
        """Make it, with a copy of the configuration. Raises `FileExistsError` where it is there."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.mkdir(mode=0o700)
        try:
            self._write(CONFIG, config)
        except BaseException:
            self.remove()
            raise

    def read(self) -> tuple[dict[str, Any], Record | None]:
        """Return the configuration, and what is known of the container.

        Raises `FileNotFoundError` where there is none of this id.
        """
        config = json.loads((self.path / CONFIG).read_bytes())
        try:
            return config, Record(**json.loads((self.path / _STATE).read_bytes()))
        except FileNotFoundError:
            return config, None

    def write(self, record: Record) -> None:
        """Keep what is known, in place of what was."""
        self._write(_STATE, attrs.asdict(record))

    @property
    def waits(self) -> bool:
        """Whether the container waits to be started."""
        return os.path.lexists(self.path / START)

    def remove(self) -> None:
        """Remove it; gone already is no error."""
        for name in (START, CONFIG, _STATE, f"{_STATE}.new", f"{CONFIG}.new"):
            (self.path / name).unlink(missing_ok=True)
        if self.path.exists():
            self.path.rmdir()

    def _write(self, name: str, value: Any) -> None:
        new = self.path / f"{name}.new"
        new.write_text(json.dumps(value))
        new.replace(self.path / name)
