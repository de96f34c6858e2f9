"""A question about the host, answered."""

from typing import NamedTuple

import attrs


class Obstacle(NamedTuple):
    """What stands in the way, and what would move it."""

    reason: str
    remedy: str


@attrs.frozen
class Finding:
    """The answer to one question: it is `ok` unless there is an obstacle."""

    name: str
    detail: str
    obstacle: Obstacle | None = None

    @property
    def ok(self) -> bool:
        """Whether this caller can have what the question is about."""
        return self.obstacle is None

    @property
    def reason(self) -> str | None:
        """Why not, or None."""
        return self.obstacle.reason if self.obstacle else None

    @property
    def remedy(self) -> str | None:
        """What would change that, or None."""
        return self.obstacle.remedy if self.obstacle else None
