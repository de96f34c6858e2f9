"""The groups that a task is in, and the controllers of the kernel: cgroups(7)."""

from typing import NamedTuple

from nsbox.procfs._lines import number, require, rows, split


class CgroupMembership(NamedTuple):
    """The one group of one hierarchy that a task is in; hierarchy 0 is cgroup v2."""

    hierarchy_id: int
    controllers: tuple[str, ...]
    name: str | None  # of a named v1 hierarchy, as in name=systemd
    path: str


class Controller(NamedTuple):
    """One controller the kernel was built with, and the hierarchy it is bound to."""

    name: str
    hierarchy_id: int  # 0: bound to cgroup v2, or to none
    num_cgroups: int
    enabled: bool


def parse_cgroup(text: str) -> tuple[CgroupMembership, ...]:
    """Parse `/proc/PID/cgroup`: cgroups(7).

    The path stays as written. The kernel adds " (deleted)" to that of a removed v2 group, and a
    group may bear a name that ends so: text alone cannot tell the two apart.

    Raises:
        ValueError: a line is not "hierarchy-ID:controller-list:path".
    """
    return tuple(rows("cgroup", text, _membership))


def parse_controllers(text: str) -> tuple[Controller, ...]:
    """Parse `/proc/cgroups`, its heading left out: cgroups(7).

    Raises:
        ValueError: a line is not a name, two numbers and 0 or 1, with tabs between.
    """
    return tuple(row for row in rows("cgroups", text, _controller) if row is not None)


def _membership(line: str) -> CgroupMembership:
    id_, listed, path = split(line, ":", 3, "hierarchy-ID:controller-list:path")
    hierarchy_id = number(id_, "a hierarchy id")
    require((hierarchy_id == 0) is (listed == ""), "controllers or a name in v1, none in v2")
    require(path.startswith("/"), "a path that starts with '/'")
    controllers, name = listed.split(",") if listed else [], None
    # The kernel writes a hierarchy's name after its controllers.
    if listed and controllers[-1].startswith("name="):
        name = controllers.pop().removeprefix("name=")
    require("" not in (*controllers, name), "controllers and names that are not empty")
    return CgroupMembership(hierarchy_id, tuple(controllers), name, path)


def _controller(line: str) -> Controller | None:
    if line.startswith("#"):
        return None
    name, hierarchy, count, enabled = split(line, "\t", 4, "four fields with tabs between")
    require(name != "" and enabled in ("0", "1"), "a controller's name, and 0 or 1 for enabled")
    hierarchy_id, num_cgroups = number(hierarchy, "a hierarchy id"), number(count, "a count")
    return Controller(name, hierarchy_id, num_cgroups, enabled == "1")
