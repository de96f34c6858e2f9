"""An image as a `BoxSpec`: its layers as the root, and what its configuration asks for."""

from collections.abc import Sequence

from nsbox.fields import StrPath
from nsbox.image.config import Config
from nsbox.image.merged import Merged
from nsbox.image.store import Unpacked, visible
from nsbox.image.users import look_up
from nsbox.namespace import ISOLATED, Choice, IDMap, NamespaceType
from nsbox.rootfs import Mount, RootFS
from nsbox.spec import ENVIRONMENT, BoxSpec


def box_spec(config: Config, layers: Sequence[Unpacked], id_map: IDMap | None) -> BoxSpec:
    """Return the spec of a box that runs an image, of layers that are unpacked for an id map.

    Raises `ImageError` for a user that the image does not know.
    """
    user = look_up(config.user, Merged(_shown(layers)))
    is_root = (user.uid, user.gid) == (0, 0)
    home = {} if user.home is None else {"HOME": user.home}
    mapped = {} if id_map is None else {NamespaceType.USER: Choice.NEW}
    return BoxSpec(
        namespaces=ISOLATED | mapped,
        id_map=id_map or IDMap(),
        rootfs=root(config, layers),
        env=ENVIRONMENT | home | config.env,
        args=config.args,
        cwd=config.workdir or "/",
        user=None if is_root else user.uid,
        group=None if is_root else user.gid,
    )


def root(config: Config, layers: Sequence[Unpacked], upper: StrPath | None = None) -> RootFS:
    """Return the root of an image, of layers that are unpacked."""
    shown = _shown(layers)
    return RootFS.overlay(*shown, upper=upper).with_mounts(*_volumes(config, Merged(shown)))


def _shown(layers: Sequence[Unpacked]) -> list[str]:
    return [layer.path for layer in visible(layers)]


def _volumes(config: Config, tree: Merged) -> list[Mount]:
    """Return file systems in memory for volumes that are empty: to hide nothing of the image's."""
    return [Mount.tmpfs(path) for path in config.volumes if tree.is_empty(path)]
