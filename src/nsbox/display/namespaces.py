"""A namespace, and those of the caller and of a box side by side."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nsbox.display.manual import link
from nsbox.display.markup import Markup, code, dim, join, page, pill, section, table
from nsbox.display.names import command_name

if TYPE_CHECKING:
    from nsbox.namespace import Namespace, NamespaceType

_MOST_PIDS = 12


def draw(namespace: "Namespace") -> Markup:
    """Draw one namespace, with the processes in it."""
    rows = [
        ("kind", link(namespace.type.reference, namespace.type.proc_name)),
        ("inode", code(namespace.inode)),
        ("the caller is", "in it" if _is_callers(namespace) else "not in it"),
        ("processes", _processes(namespace)),
    ]
    return page("Namespace", code(namespace), link(namespace.type.reference), table(rows))


def side_by_side(of_task: "Mapping[NamespaceType, Namespace]", whose: str) -> Markup:
    """Draw the namespaces of the caller beside those of a task, which may end meanwhile."""
    rows = list(_rows(of_task))
    return section("namespaces", table(rows, ("kind", "the caller's", whose, "")))


def _rows(of_task: "Mapping[NamespaceType, Namespace]") -> Iterator[tuple[object, ...]]:
    for kind in of_task:
        name = link(kind.reference, kind.proc_name)
        try:
            theirs = of_task[kind]
        except PermissionError:
            yield name, "", dim("not to be seen by this caller"), ""
            continue
        except (KeyError, OSError):  # a kernel without this kind, or a task that has ended
            continue
        ours = type(theirs).current(kind)
        mark = pill("shared") if ours == theirs else pill("its own", "own")
        yield name, code(ours.inode), code(theirs.inode), mark
        ours.close()
        theirs.close()


def _is_callers(namespace: "Namespace") -> bool:
    current = type(namespace).current(namespace.type)
    try:
        return current == namespace
    finally:
        current.close()


def _processes(namespace: Any) -> Markup:
    pids = namespace.pids()
    if not pids:
        return dim("none")
    shown = [pill(f"{pid} {command_name(pid)}") for pid in pids[:_MOST_PIDS]]
    more = len(pids) - _MOST_PIDS
    return join((*shown, f"and {more} more" if more > 0 else ""))
