"""The wish for a box, and its parts, as tables of what was chosen."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nsbox.display import roots
from nsbox.display.markup import Markup, code, dim, element, items, join, page, pill, section
from nsbox.sizes import readable

if TYPE_CHECKING:
    from nsbox.namespace import IDMap
    from nsbox.security import Security
    from nsbox.spec import BoxSpec

_MOST_TEXT = 300


def draw(shown: Any) -> Markup:
    """Draw a spec, or a value that is a part of one."""
    kind = type(shown).__name__
    if kind == "BoxSpec":
        note = "a wish: nothing is made before start() or run()"
        return page(kind, hostname(shown), note, spec(shown))
    if kind == "Resources":
        return page(kind, "", "limits", resources(shown))
    if kind == "Security":
        return page(kind, "", "what commands may do", items(_security(shown)))
    return page(kind, "", "who is who", _id_map(shown))


def hostname(wish: "BoxSpec") -> Markup:
    """Show the name of a box."""
    return code(wish.hostname) if wish.hostname else dim("unnamed")


def spec(wish: "BoxSpec") -> Markup:
    """Show all that a spec says, the root file system below."""
    rows: dict[str, object] = {
        "namespaces": join(
            pill(f"{kind.proc_name}: {_chosen(choice)}", "own" if _is_new(choice) else "")
            for kind, choice in wish.namespaces.items()
        ),
        "resources": resources(wish.resources) if wish.resources.given else dim("no limits"),
        "security": join((*_held_back(wish.security), " ", *_capabilities(wish.security))),
        "env": items({name: code(_short(text)) for name, text in wish.env.items()}),
    }
    told = {"hostname", "rootfs", *rows}
    for field in attrs.fields(type(wish)):
        value = getattr(wish, field.name)
        if field.name not in told and value != field.default:
            rows[field.name] = code(f"0{value:03o}" if field.name == "umask" else _short(value))
    return join((items(rows), section("root file system", roots.layers(wish.rootfs))))


def resources(limits: Any) -> Markup:
    """Show the limits that are given, under the names of their files."""
    return items({name: _amount(name, value) for name, value in limits.given.items()})


def _amount(field: str, value: Any) -> object:
    if isinstance(value, Mapping):
        return items({str(key): _amount(field, one) for key, one in value.items()})
    if isinstance(value, frozenset):
        return ", ".join(map(str, sorted(value)))
    if type(value) is int and field.startswith(("memory", "hugetlb")):
        return element("span", readable(value), title=f"{value} bytes")
    if attrs.has(type(value)):
        given = attrs.asdict(value, filter=lambda _, content: content is not None)
        return items({name: str(content) for name, content in given.items()})
    if isinstance(value, tuple) and value and attrs.has(type(value[0])):
        return join((code(str(one)) for one in value), ", ")
    return str(value)


def _security(security: "Security") -> dict[str, object]:
    rows: dict[str, object] = {
        "": join(_held_back(security)),
        "capabilities": join(_capabilities(security)),
    }
    if security.seccomp is not None:
        rules = getattr(security.seccomp, "rules", None)
        rows["seccomp"] = "a program" if rules is None else f"{len(rules)} rules"
    for field in ("apparmor", "selinux"):
        if (label := getattr(security, field)) is not None:
            rows[field] = code(label)
    for field in (
        "landlock",
        "no_new_privs",
        "keyring",
        "rlimits",
        "user_namespace",
        "needs_limits",
    ):
        value = getattr(security, field)
        rows[field] = code(_short(dict(value) if isinstance(value, Mapping) else value))
    return rows


def _held_back(security: "Security") -> Iterator[Markup]:
    """Say in marks what holds a command back, and what does not."""
    if security.is_privileged:
        yield pill("PRIVILEGED: nothing dropped, nothing filtered", "bad")
        return
    if security.seccomp is None:
        yield pill("system calls: no filter", "bad")
    else:
        yield pill("system calls: filtered", "good")
    if security.landlock is not None:
        yield pill("files: Landlock", "good")
    if security.no_new_privs:
        yield pill("no_new_privs", "good")


def _capabilities(security: "Security") -> Iterator[Markup]:
    names = [str(one.name).removeprefix("CAP_").lower() for one in security.capabilities]
    yield from map(pill, names) if names else (pill("no capabilities", "good"),)


def _id_map(id_map: "IDMap") -> Markup:
    rows = {field.name: code(getattr(id_map, field.name)) for field in attrs.fields(type(id_map))}
    return items(rows)


def _is_new(choice: Any) -> bool:
    return getattr(choice, "value", None) == "new"


def _chosen(choice: Any) -> str:
    return str(getattr(choice, "value", choice))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]} …"
