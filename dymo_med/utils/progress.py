"""How far long work is: a bar where people watch, a line in the log now and then where nobody does."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]

_LOG_SECONDS = 60.0


@contextmanager
def progress_bar(title: str, unit: str = "subject") -> Iterator[Callable[[int, int], None]]:
    """Give a callback for (done, total) that draws a bar on a terminal, and elsewhere logs a line a minute.

    Args:
        title: What is worked on.
        unit: What is counted.

    Example:
        >>> with progress_bar("images") as show:
        ...     show(1, 2)
    """
    from tqdm import tqdm

    is_watched = sys.stderr.isatty()
    logger, next_line = logging.getLogger(__name__), time.monotonic() + _LOG_SECONDS
    with tqdm(desc=title, unit=unit, file=sys.stderr, disable=not is_watched) as bar:

        def show(done: int, total: int) -> None:
            """Move the bar."""
            nonlocal next_line
            bar.total = total
            bar.update(done - bar.n)
            if not is_watched and time.monotonic() >= next_line:
                next_line = time.monotonic() + _LOG_SECONDS
                logger.info("%s: %d of %d %ss", title, done, total, unit)

        yield show
