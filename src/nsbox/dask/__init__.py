"""Calls of a Dask cluster in boxes, each on whichever host its worker is on.

    futures = client.map(nsbox.dask.boxed(work, memory_max="512M"), items)

Needs the extra ``nsbox[dask]``.
"""

try:
    import distributed as distributed
except ImportError as error:
    raise ImportError(
        "nsbox.dask needs distributed, which is not installed: `pip install nsbox[dask]`"
    ) from error

from nsbox.dask.boxed import Boxed, boxed
from nsbox.dask.layout import LayoutSpec
from nsbox.dask.report import Report, reports

__all__ = ["Boxed", "LayoutSpec", "Report", "boxed", "reports"]
