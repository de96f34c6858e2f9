"""A task: its namespaces beside the caller's, and its group in each hierarchy."""

from typing import TYPE_CHECKING

from nsbox.display import namespaces
from nsbox.display.markup import Markup, code, dim, page, pill, section, side_by_side, table
from nsbox.display.names import command_name

if TYPE_CHECKING:
    from nsbox.task import Task


def draw(task: "Task") -> Markup:
    """Draw a task."""
    name = code(f"{task.pid} {command_name(task.pid)}")
    if not is_alive(task):
        return page("Task", name, pill("ended"))
    return page(
        "Task",
        name,
        pill("alive", "good"),
        side_by_side(namespaces.side_by_side(task.namespaces, "the task's"), groups(task)),
    )


def groups(task: "Task") -> Markup:
    """Draw the groups of a task, by subsystem."""
    try:
        found = task.cgroups
    except OSError:
        return section("cgroups", dim("it has ended"))
    by_path: dict[str, list[str]] = {}
    for key, group in found.items():
        by_path.setdefault(group.path, []).append(key)
    rows = [(code(path), ", ".join(keys)) for path, keys in sorted(by_path.items())]
    return section("cgroups", table(rows, ("group", "as seen by")) if rows else dim("none"))


def is_alive(task: "Task") -> bool:
    """Whether a task is alive, as far as a handle that may be closed tells."""
    try:
        return task.alive
    except ValueError:
        return False
