"""A function over many items in several processes, results in the order of the items."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import TypeVar

import torch

from dymo_med.utils import check_positive_int

__all__ = ["map_in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 4
"""Items under way per worker: enough to keep all busy, few enough for the memory that results take."""


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, n_workers: int
) -> Generator[Result, None, None]:
    """Apply ``function`` to every item and give the results in order, a few items ahead of the reader.

    Args:
        function: Picklable function; with one worker it runs in this process.
        items: Picklable arguments.
        n_workers: Number of processes, each computing on one thread.

    Yields:
        One result per item.

    Raises:
        ChildProcessError: a worker died, most often for want of memory.
        ValueError: ``n_workers`` is not a positive integer.

    Example:
        >>> list(map_in_order(abs, [-1, 2], n_workers=1))
        [1, 2]
    """
    check_positive_int("n_workers", n_workers)
    if n_workers == 1:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    try:
        with ProcessPoolExecutor(n_workers, mp_context=get_context("spawn"), initializer=_start_worker) as pool:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > _AHEAD * n_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    except BrokenProcessPool as err:
        raise ChildProcessError(
            f"one of {n_workers} worker processes died, most often for want of memory: run again with fewer workers; "
            "what is finished is kept"
        ) from err


def _start_worker() -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
