"""Messages of netlink and their attributes as bytes: netlink(7)."""

import struct

REQUEST, ACK = 0x1, 0x4  # NLM_F_REQUEST, NLM_F_ACK


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Put a nlmsghdr before what its family puts there."""
    return struct.pack("=IHHII", 16 + len(body), kind, REQUEST | flags, sequence, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """Write a rtattr, with what fills it up to a multiple of four."""
    size = 4 + len(value)
    return struct.pack("=HH", size, kind) + value + b"\0" * (-size % 4)


def text(kind: int, value: str) -> bytes:
    """Write an attribute that is a string."""
    return attribute(kind, value.encode() + b"\0")
