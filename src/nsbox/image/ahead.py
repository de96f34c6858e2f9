"""Blocks made ahead by a thread: hashing and decompressing leave the interpreter to others."""

import queue
import threading
from collections.abc import Iterator

DEPTH = 16
"""How many blocks may wait to be taken."""


def ahead(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Pass blocks on, with the next ones being made meanwhile; an error comes where it was."""
    made: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
    room = threading.Semaphore(DEPTH)
    stop = threading.Event()

    def make() -> None:
        try:
            for block in blocks:
                made.put(block)
                room.acquire()
                if stop.is_set():
                    return
            made.put(None)
        except BaseException as error:  # it is raised where the blocks are taken
            made.put(error)

    thread = threading.Thread(target=make, name="nsbox-layer", daemon=True)
    thread.start()
    try:
        while (block := made.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            room.release()
            yield block
    finally:
        stop.set()
        room.release()
        thread.join()
