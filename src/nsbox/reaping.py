"""What the dead left, of every kind."""

from nsbox.cgroup.reap import reap_groups
from nsbox.leftovers import reap_folders


def reap() -> tuple[str, ...]:
    """Remove the groups and temporary folders whose owner is dead, and end the tasks in the groups.

    Nothing of a living owner's is touched. Looks through all hierarchies and the folder for
    temporary files, as far as the caller may. An owner counts as dead only in the caller's own pid
    namespace, as it cannot be seen from another. Returns the folders removed.
    """
    return (*reap_groups(), *reap_folders())
