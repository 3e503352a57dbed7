"""Work that a thread does ahead of time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
END = object()


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, in order; a thread computes the next one while the caller uses the last.

    No more than one is computed ahead, and by one thread at a time. What computing an item raises
    is raised when the item is asked for.

    Args:
        items: may be computed in another thread than the caller's.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, END)
        try:
            while (item := coming.result()) is not END:
                coming = pool.submit(next, items, END)
                yield item
        finally:
            del coming  # an error's traceback would keep itself alive, and all that it refers to
