"""Python functions in boxes."""

from nsbox.executor.crew import BoxFuture
from nsbox.executor.executor import BoxExecutor

__all__ = ["BoxExecutor", "BoxFuture"]
