"""Simulated gaps: which cells of a table are hidden from the models, by pattern and rate."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dymo_med.utils.checks import as_choice, check_fraction

__all__ = ["MissingPattern", "SimulatedMissing", "sample_missing", "sample_missing_of"]

BoolArray = NDArray[np.bool_]


class MissingPattern(StrEnum):
    """How simulated gaps lie in a table of N rows and F columns; ``rate`` is the requested missing rate.

    ``VALUE`` random cells: in every row exactly ``round(rate * n)`` of its n observed cells. ``COLUMN`` the same random
    columns for everybody: the first ``floor(rate * F)`` of one permutation, 22 of 75 at 0.3. ``BLOCK`` families of
    columns that are lost together, as real gaps are (a device, a questionnaire): each family in each row with
    probability ``rate``. ``TABLE`` whole rows: each with probability ``rate``. With rate 1 the last two hide every
    named family and every row. ``RANKED`` the first ``floor(rate * F)`` columns of a given order, such as the most or
    the least important ones: no draw at all.

    Example:
        >>> [pattern.value for pattern in MissingPattern]
        ['value', 'column', 'block', 'table', 'ranked']
    """

    VALUE = "value"
    COLUMN = "column"
    BLOCK = "block"
    TABLE = "table"
    RANKED = "ranked"


@dataclass(frozen=True, eq=False)
class SimulatedMissing:
    """A missing mask after simulation, and how much was really hidden.

    Args:
        missing: (N, F) bool, True = absent, natural gaps included.
        requested_rate: The rate asked for.
        real_rate: Share of the cells observed before that are hidden now; nan when nothing was observed before. It
            differs from the requested one by rounding and, for blocks and rows, by chance: label results with this one.

    Example:
        >>> rng, none = np.random.default_rng(0), np.zeros((2, 5), dtype=bool)
        >>> hidden = sample_missing(none, pattern="value", rate=0.3, rng=rng)
        >>> hidden.requested_rate, hidden.real_rate
        (0.3, 0.4)
    """

    missing: BoolArray
    requested_rate: float
    real_rate: float


def sample_missing(
    missing: BoolArray,
    *,
    pattern: MissingPattern | str,
    rate: float,
    rng: np.random.Generator,
    families: Mapping[str, Sequence[int]] | None = None,
    order: Sequence[int] | None = None,
) -> SimulatedMissing:
    """Hide more cells of a table; what is absent already stays absent.

    Equal generator states give nested masks: what is hidden at a rate is hidden at every higher rate.

    Args:
        missing: (N, F) bool, natural gaps, True = absent; left as it is.
        pattern: See :class:`MissingPattern`.
        rate: Requested missing rate in [0, 1].
        rng: Source of every draw.
        families: Pattern ``block`` only: column indices by family name.
        order: Pattern ``ranked`` only: all F column indices, the first to be hidden first.

    Returns:
        The mask and the rate that was reached.

    Raises:
        TypeError: ``missing`` is not boolean.
        ValueError: ``missing`` is not a matrix, the rate is out of range, or families, order and pattern do not fit
            together.

    Example:
        >>> import numpy as np
        >>> hidden = sample_missing(
        ...     np.zeros((4, 75), dtype=bool), pattern="column", rate=0.3, rng=np.random.default_rng(0)
        ... )
        >>> hidden.missing.sum(axis=1).tolist(), round(hidden.real_rate, 3)
        ([22, 22, 22, 22], 0.293)
    """
    chosen = as_choice("pattern", pattern, MissingPattern)
    check_fraction("rate", rate)
    _check_mask(missing)
    if (families is not None) != (chosen is MissingPattern.BLOCK):
        given = "none" if families is None else sorted(families)
        raise ValueError(
            f"families belong to pattern 'block' and to no other, however: pattern={chosen.value!r}, families={given}"
        )
    if (order is not None) != (chosen is MissingPattern.RANKED):
        given = "none" if order is None else f"{len(order)} columns"
        raise ValueError(
            f"an order belongs to pattern 'ranked' and to no other, however: pattern={chosen.value!r}, order={given}"
        )
    if chosen is MissingPattern.VALUE:
        hidden = _value_cells(missing, rate, rng)
    elif chosen is MissingPattern.COLUMN:
        hidden = _columns(missing, rate, rng)
    elif chosen is MissingPattern.BLOCK:
        hidden = _blocks(missing, rate, rng, families or {})
    elif chosen is MissingPattern.RANKED:
        hidden = _first_columns(missing, rate, order or [])
    else:
        hidden = _rows(missing, rate, rng)
    observed = int((~missing).sum())
    newly = int((hidden & ~missing).sum())
    return SimulatedMissing(missing | hidden, rate, newly / observed if observed else math.nan)


def sample_missing_of(
    subject_id: str,
    missing: BoolArray,
    *,
    key: str,
    pattern: MissingPattern | str,
    rate: float,
    seed: int,
    families: Mapping[str, Sequence[int]] | None = None,
    order: Sequence[int] | None = None,
) -> BoolArray:
    """Hide more of one subject's table, or a whole modality; the same subject always loses the same parts.

    The draw depends on seed, key and subject alone, for pattern ``column`` on seed and key.

    Args:
        subject_id: Pseudonym.
        missing: (F,) bool of a table, or () of a whole modality, True = absent.
        key: Name of the modality: draws of two modalities are independent.
        pattern: See :class:`MissingPattern`.
        rate: Requested missing rate in [0, 1].
        seed: Another seed is another draw.
        families: As for :func:`sample_missing`.
        order: As for :func:`sample_missing`.

    Returns:
        Mask of the same shape.

    Raises:
        TypeError: ``missing`` is not boolean.
        ValueError: as for :func:`sample_missing`.

    Example:
        >>> none = np.zeros(8, dtype=bool)
        >>> int(sample_missing_of("s1", none, key="table", pattern="value", rate=0.5, seed=1).sum())
        4
    """
    everybody = as_choice("pattern", pattern, MissingPattern) is MissingPattern.COLUMN
    text = f"{seed}\n{key}\n{'' if everybody else subject_id}"
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()))
    sampled = sample_missing(
        missing.reshape(1, -1), pattern=pattern, rate=rate, rng=rng, families=families, order=order
    )
    return sampled.missing.reshape(missing.shape)


def _value_cells(missing: BoolArray, rate: float, rng: np.random.Generator) -> BoolArray:
    score = rng.random(missing.shape)
    score[missing] = np.inf  # absent cells come last and are not counted
    rank = score.argsort(axis=1).argsort(axis=1)
    n_hidden = np.rint(rate * (~missing).sum(axis=1, keepdims=True))
    return np.asarray(rank < n_hidden)


def _columns(missing: BoolArray, rate: float, rng: np.random.Generator) -> BoolArray:
    return _first_columns(missing, rate, rng.permutation(missing.shape[1]).tolist())


def _first_columns(missing: BoolArray, rate: float, order: Sequence[int]) -> BoolArray:
    n_columns = missing.shape[1]
    if sorted(order) != list(range(n_columns)):
        raise ValueError(
            f"an order must name each column from 0 to {n_columns - 1} once, however: {len(set(order))} different of "
            f"{len(order)}: take it from the permutation importance of the same table"
        )
    n_hidden = math.floor(rate * n_columns + 1e-9)  # 0.29 * 100 is 28.999...
    hidden = np.zeros_like(missing)
    hidden[:, list(order)[:n_hidden]] = True
    return hidden


def _blocks(
    missing: BoolArray, rate: float, rng: np.random.Generator, families: Mapping[str, Sequence[int]]
) -> BoolArray:
    hidden = np.zeros_like(missing)
    for name, columns in families.items():
        outside = [column for column in columns if not 0 <= column < missing.shape[1]]
        if outside or not len(columns):
            raise ValueError(
                f"a family must name columns from 0 to {missing.shape[1] - 1}, however: family {name!r} "
                f"has {outside or 'no column'}: take the indices from the table's schema"
            )
        lost = rng.random(len(missing)) < rate
        hidden[np.ix_(lost, np.asarray(columns))] = True
    return hidden


def _rows(missing: BoolArray, rate: float, rng: np.random.Generator) -> BoolArray:
    lost = rng.random((len(missing), 1)) < rate
    return np.broadcast_to(lost, missing.shape)


def _check_mask(missing: BoolArray) -> None:
    if missing.dtype != np.bool_:
        raise TypeError(f"missing must be boolean with True = absent, however: missing.dtype={missing.dtype}")
    if missing.ndim != 2:
        raise ValueError(f"missing must have shape (N, F), however: missing.shape={missing.shape}")
