"""Folders laid over each other. See the kernel's document filesystems/overlayfs.

The layers get short names in the stage, a folder in memory: a path of any length, with any
character in it, fits into a parameter so; and the box learns nothing of the host's paths.
"""

import contextlib
import errno
import functools
import os
import shutil
from collections.abc import Iterable, Iterator

import attrs

from nsbox import procfs
from nsbox._native.operations import Operation
from nsbox.caller import Caller
from nsbox.cgroup.owner import PREFIX, owner, owner_of
from nsbox.constants import AtFlag, CloneFlag
from nsbox.errors import StepError, UnsupportedError
from nsbox.namespace.create import map_steps
from nsbox.namespace.idmap import IDMap
from nsbox.perform import perform
from nsbox.plan import Slot, Step
from nsbox.rootfs import classic, files
from nsbox.rootfs.filesystem import NODEV, NOSUID, PRIVATE, attach, configure, create, new_tmpfs
from nsbox.rootfs.layout import Layout
from nsbox.rootfs.mount import OverlayMount
from nsbox.rootfs.site import Site
from nsbox.rootfs.tree import look_at, point

ONE_BY_ONE = (6, 7)
"""The first Linux that takes lower layers one by one; before, all names share 255 bytes."""

_LONGEST = 255

MOST_COPIED = 1 << 30
"""Bytes that a copy in an overlay's stead may take up: it is memory."""

Points = Iterable[tuple[str, bool]]
"""Mount points to be there: a path, and whether it is a folder."""


def work_mark() -> str:
    """Return what a work folder's name tells of its owner; the number of the box follows."""
    return f"{PREFIX}{owner()}-"


@attrs.frozen
class Layers:
    """The layers of one overlay, lowest first, and the name that they have in the stage."""

    lowers: tuple[str, ...]
    upper: str | None
    name: str

    def work(self, site: Site) -> str | None:
        """Return the work folder, beside the kept upper layer; None where that is in memory."""
        if self.upper is None:
            return None
        parent, name = os.path.split(os.path.realpath(self.upper))
        return f"{parent}/.{name}.{self.name}.{site.work}"


def layers_of_mount(mount: OverlayMount, number: int) -> Layers:
    """Return the layers of an overlay that is a mount."""
    return Layers(mount.lowers, mount.upper, name=f"overlay{number}")


def overlay(mount: OverlayMount, number: int, layout: Layout) -> Iterator[Step]:
    """Lower an overlay that is a mount."""
    yield from steps(layers_of_mount(mount, number), Slot.TREE, layout.site)
    yield attach(Slot.TREE, mount.target)


def steps(layers: Layers, into: Slot, site: Site, points: Points = ()) -> Iterator[Step]:
    """Lower an overlay, with mount points in a layer of their own below all others.

    Where this host cannot do it, the lower layers are copied. Raises `UnsupportedError`, with the
    reason, where there is an upper layer to be kept.
    """
    lowers = tuple(os.path.abspath(lower) for lower in layers.lowers)
    obstacle = find_obstacle(lowers, attrs.evolve(site, place="/", work=""))
    if obstacle is None:
        yield from _overlaid(layers, into, site, points)
        return
    if layers.upper is not None:
        raise UnsupportedError(f"upper: {obstacle}; without an upper layer, a copy would be made")
    yield from _copied(layers.name, lowers, into, obstacle)


def _copied(name: str, lowers: Iterable[str], into: Slot, reason: str) -> Iterator[Step]:
    """Copy into a folder of a file system; beside it is room for what is needed meanwhile."""
    yield point(Slot.STAGE, name, folder=True)
    yield from new_tmpfs(Slot.MOUNT, mode=0o700, size=MOST_COPIED)
    yield attach(Slot.MOUNT, name, beneath=Slot.STAGE)
    yield point(Slot.MOUNT, "tree", folder=True)
    yield point(Slot.MOUNT, "links", folder=True)
    for lower in lowers:
        yield Step(Operation.COPY_TREE, (lower, Slot.MOUNT, reason))
    yield Step(Operation.OPEN_TREE, (into, Slot.MOUNT, "tree", AtFlag.OPEN_TREE_CLONE))


def _overlaid(layers: Layers, into: Slot, site: Site, points: Points) -> Iterator[Step]:
    yield point(Slot.STAGE, layers.name, folder=True)
    yield Step(Operation.OPEN_TREE, (Slot.LAYERS, Slot.STAGE, layers.name, AtFlag(0)))
    yield point(Slot.LAYERS, "points", folder=True)
    yield from _make_points(points)
    names = ["points"]
    for number, lower in enumerate(map(os.path.abspath, layers.lowers)):
        names.append(str(number))
        yield look_at(lower, Slot.TREE)
        yield Step(Operation.SYMLINKAT, (lower, Slot.LAYERS, str(number)))
    yield from _upper(layers, site)
    yield Step(Operation.FCHDIR, (Slot.LAYERS,))
    yield Step(Operation.FSOPEN, (Slot.CONTEXT, "overlay"))
    yield configure("source", "overlay")
    names.reverse()  # the kernel wants the topmost first
    yield from _lowerdirs(names, site)
    yield configure("upperdir", "upper")
    yield configure("workdir", "work")
    for key, value in _options(site).items():
        yield configure(key, value)
    yield from create(into, NOSUID | NODEV)


def _lowerdirs(names: list[str], site: Site) -> Iterator[Step]:
    if site.kernel >= ONE_BY_ONE or site.classic:
        yield from (configure("lowerdir+", name) for name in names)
        return
    joined = ":".join(names)
    if len(joined) > _LONGEST:
        raise UnsupportedError(
            f"lowers: {len(names) - 1} are too many for this kernel: up to about 80, or any number "
            "from Linux 6.7 on"
        )
    yield configure("lowerdir", joined)


def _options(site: Site) -> dict[str, str | None]:
    """Nothing that ties the upper layer to these lower ones by more than names.

    In a user namespace the marks of the upper layer are attributes that an ordinary user may set.
    """
    if site.own_users:
        return {"index": "off", "userxattr": None}
    return {"index": "off", "metacopy": "off", "redirect_dir": "off"}


def _upper(layers: Layers, site: Site) -> Iterator[Step]:
    work = layers.work(site)
    if layers.upper is None or work is None:
        yield point(Slot.LAYERS, "upper", folder=True)
        yield point(Slot.LAYERS, "work", folder=True)
        return
    upper = os.path.realpath(layers.upper)
    yield look_at(os.path.dirname(upper), Slot.UPPER)
    yield point(Slot.UPPER, os.path.basename(upper), folder=True)
    # Never one that is there: its name can be guessed, and others may be able to write beside it.
    yield Step(Operation.MKDIR, (work, 0o700))
    for path, name in ((upper, "upper"), (work, "work")):
        yield Step(Operation.SYMLINKAT, (path, Slot.LAYERS, name))


def _make_points(points: Points) -> Iterator[Step]:
    made: set[str] = set()
    for path, folder in points:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if above not in made:
                made.add(above)
                yield point(Slot.LAYERS, f"points/{above}", folder=True)
        if path not in made:
            made.add(path)
            yield point(Slot.LAYERS, f"points/{path}", folder=folder)


@functools.lru_cache(maxsize=256)
def find_obstacle(lowers: tuple[str, ...], site: Site) -> str | None:
    """Try an overlay of these folders, out of everybody's sight; return why there can be none.

    None, too, where it cannot be tried: then the step that fails will say why.
    """
    caller = Caller.current()
    users = CloneFlag.CLONE_NEWUSER if site.changes_user else CloneFlag(0)
    overlaid = _overlaid(Layers(lowers, None, name="trial"), Slot.TREE, site, ())
    mounting = [PRIVATE, *files.stage(site), *overlaid]
    trial = [
        Step(Operation.CLONE3, (CloneFlag.CLONE_NEWNS | users,)),
        *(map_steps(IDMap(), caller) if site.changes_user else ()),
        Step(Operation.UNSHARE_FILES),
        *(classic.by_mount(mounting) if site.classic else mounting),
    ]
    try:
        perform(trial)
    except StepError as error:
        if any("overlay" in step.arguments for step in trial[: error.index + 1]):
            return _reason(error.errno, lowers, site)
    return None


def _reason(number: int | None, lowers: tuple[str, ...], site: Site) -> str:
    if number == errno.ENODEV:
        return "this kernel has no overlay file system (modprobe overlay)"
    if number == errno.EPERM:
        return "overlay file systems are not for this caller: without root, from Linux 5.11 on"
    below = _mounted_below(lowers) if site.own_users else None
    if below is not None:
        return f"in a user namespace, what is mounted on {below} cannot be left out of an overlay"
    if number == errno.EINVAL:
        return "an overlay of overlays of overlays is too deep for the kernel"
    return f"an overlay of these folders fails: {os.strerror(number or 0)}"


def _mounted_below(lowers: tuple[str, ...]) -> str | None:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [mount.mount_point for mount in procfs.parse_mountinfo(file.read())]
    roots = [os.path.realpath(lower).rstrip("/") + "/" for lower in lowers]
    return next(
        (p for p in points if any(p.startswith(root) and p != root for root in roots)), None
    )


def remove_work(folder: str) -> None:
    """Remove a work folder once its overlay is gone, and those that the dead have left beside it.

    Others may be able to make folders of such names there: no link is followed, and of what is not
    the caller's, as by ids of a user namespace, only an empty folder goes.
    """
    parent, name = os.path.split(folder)
    try:
        beside = os.listdir(parent)
    except FileNotFoundError:
        return
    for found in beside:
        if found == name or (_stem(found) == _stem(name) and _is_left(found)):
            _remove(os.path.join(parent, found))


def _stem(name: str) -> str:
    return name.rpartition(f".{PREFIX}")[0]


def _is_left(name: str) -> bool:
    made_by = owner_of(name.rpartition(".")[2])
    return made_by is not None and made_by.dead


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError), _own_or_not(folder) as (held, own):
        if own:
            _empty(held)
        else:
            os.rmdir("work", dir_fd=held)
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _empty(held: int) -> None:
    """Remove what is in a folder of the caller's."""
    with contextlib.suppress(OSError), _own_or_not("work", held) as (work, own):
        if own:  # the kernel makes it one that nobody may look into
            os.chmod(f"/proc/self/fd/{work}", 0o700)
    shutil.rmtree("work", ignore_errors=True, dir_fd=held)


@contextlib.contextmanager
def _own_or_not(path: str, above: int | None = None) -> Iterator[tuple[int, bool]]:
    """Hold a folder, no link, as long as the block lasts; tell whether it is the caller's."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        yield fd, os.fstat(fd).st_uid == os.geteuid()
    finally:
        os.close(fd)
