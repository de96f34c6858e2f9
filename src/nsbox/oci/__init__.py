"""The OCI runtime specification at the edge: bundles that others run, and that others wrote."""

from nsbox.oci.bundle import read_bundle, write_bundle
from nsbox.oci.config import from_config, to_config
from nsbox.oci.container import Container
from nsbox.oci.hooks import HookError

__all__ = ["Container", "HookError", "from_config", "read_bundle", "to_config", "write_bundle"]
