"""Networks between boxes: a bridge, and machines on it with addresses and names.

Needs the extra ``nsbox[net]``.
"""

from nsbox.network.bridge import Bridge
from nsbox.network.lowerlink import LowerLink
from nsbox.network.port import Counters, Port

__all__ = ["Bridge", "Counters", "LowerLink", "Port"]
