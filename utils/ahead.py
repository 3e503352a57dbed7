"""Work that threads do ahead of time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")
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


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int = 2
) -> Iterator[Result]:
    """The function's results, in the order of the items; threads compute the next ones while the
    caller uses the last.

    No more than one per thread is computed ahead. What the function raises is raised when its
    result is asked for.

    Args:
        function: may be called in several threads at once.
        items: what it is called with.
        threads: how many there are.
    """
    with ThreadPoolExecutor(threads) as pool:
        coming = deque()
        try:
            for item in items:
                coming.append(pool.submit(function, item))
                if len(coming) > threads:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for result in coming:
                result.cancel()
            coming.clear()  # an error's traceback would keep itself alive, as above
