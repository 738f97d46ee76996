"""Counts that are too small to be shown, and those from which they could be worked out."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dymo_med.utils import check_positive_int

__all__ = ["COUNT_NOTE", "count_text", "suppress"]

HIDDEN = "withheld"
COUNT_NOTE = (
    "Counts of 1 to {largest} are shown as <{min_count}. A count marked 'withheld' is large enough itself, but would "
    "tell a small one by subtraction."
)
"""What a reader must know about the marks, to be filled in."""


def suppress(
    counts: NDArray[np.int64],
    lines: Iterable[Sequence[int]],
    min_count: int,
    *,
    hidden: NDArray[np.bool_] | None = None,
    last: Sequence[int] = (),
) -> NDArray[np.bool_]:
    """Choose which counts to hide.

    Counts from 1 to ``min_count - 1`` are hidden. Then, as long as exactly one count of a line is hidden, and could
    therefore be worked out from the others, the smallest other count of that line that is not zero is hidden too (a
    zero if there is nothing else).

    Args:
        counts: (N,) counts.
        lines: Groups of positions whose counts determine each other, such as parts and their total.
        min_count: Smallest count to show; 1 hides nothing.
        hidden: (N,) counts that are hidden for other reasons.
        last: Positions to hide only if a line offers nothing else.

    Returns:
        (N,) True where a count must not be shown.

    Raises:
        ValueError: ``min_count`` is not a positive integer.

    Example:
        >>> suppress(np.array([3, 40, 57, 100]), [(0, 1, 2, 3)], 10).tolist()
        [True, True, False, False]
    """
    check_positive_int("min_count", min_count)
    chosen = (counts > 0) & (counts < min_count)
    if hidden is not None:
        chosen |= hidden
    groups = [np.asarray(line) for line in lines]
    changed = True
    while changed:
        changed = False
        for line in groups:
            if chosen[line].sum() == 1 and len(line) > 1:
                open_ones = line[~chosen[line]]
                rank = [(place in last, counts[place] == 0, counts[place], place) for place in open_ones]
                chosen[min(rank)[-1]] = True
                changed = True
    return chosen


def count_text(count: int, min_count: int, *, is_hidden: bool, total: int | None = None) -> str:
    """Give a count as it may be shown, with its share of a total.

    Example:
        >>> count_text(25, 10, is_hidden=False, total=100), count_text(3, 10, is_hidden=True)
        ('25 (25.0 %)', '<10')
    """
    if is_hidden:
        return f"<{min_count}" if 0 < count < min_count else HIDDEN
    return f"{count:,}" + (f" ({100 * count / total:.1f} %)" if total else "")
