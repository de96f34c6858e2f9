"""Where roots are lowered that no test makes."""

from nsbox.rootfs.site import Site

SITE = Site(
    kernel=(6, 12),
    changes_user=False,
    own_users=False,
    devices=False,
    pivots=True,
    work="nsbox-1-2-3",
)
