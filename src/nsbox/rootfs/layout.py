"""All that is to be mounted in a root, in order, and the slots that some of it needs."""

import attrs

from nsbox.namespace.idmap import IDMap
from nsbox.plan import Slot
from nsbox.rootfs.mount import BindMount, Mount
from nsbox.rootfs.site import Site

_HELD = (Slot.HELD_1, Slot.HELD_2, Slot.HELD_3, Slot.HELD_4)
MOST_HELD = len(_HELD)
"""How many binds can be taken before there is a root to mount them in."""

_IDMAPS = (Slot.IDMAP_1, Slot.IDMAP_2, Slot.IDMAP_3, Slot.IDMAP_4)


@attrs.frozen
class Layout:
    """The mounts of a root, and where it is built."""

    mounts: tuple[Mount, ...]
    site: Site

    def held(self) -> dict[int, Slot]:
        """Return where binds that are taken beforehand are kept, by their place in the order."""
        numbers = [
            number
            for number, mount in enumerate(self.mounts)
            if isinstance(mount, BindMount) and (mount.propagation != "private" or self.site.copied)
        ]
        if len(numbers) > MOST_HELD:
            raise ValueError(f"propagation: at most {MOST_HELD} mounts that are not private")
        return dict(zip(numbers, _HELD, strict=False))

    def idmaps(self) -> dict[IDMap, Slot]:
        """Return the slots of the user namespaces that mounts are mapped by."""
        return idmap_slots(self.mounts)


def idmap_slots(mounts: tuple[Mount, ...]) -> dict[IDMap, Slot]:
    """Give each map of these mounts its slot."""
    maps = [mount.idmap for mount in mounts if isinstance(mount, BindMount)]
    distinct = list(dict.fromkeys(found for found in maps if found is not None))
    if len(distinct) > len(_IDMAPS):
        raise ValueError(f"idmap: at most {len(_IDMAPS)} different maps")
    return dict(zip(distinct, _IDMAPS, strict=False))
