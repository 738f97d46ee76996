"""Raw rows to network input and back."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from dymo_med.tabular.cleaning import CleanTable, clean_table
from dymo_med.tabular.schema import Column, TabularSchema
from dymo_med.utils import SubjectError

__all__ = ["EncodedTable", "decode_table", "encode_rows", "encode_table"]


@dataclass(frozen=True)
class EncodedTable:
    """Rows as a network reads them.

    Args:
        values: (N, F) float32 in schema order: category indices, then numbers in training standard deviations from the
            training mean; 0 where missing.
        missing: (N, F) bool, True = absent.
        subject_ids: Subjects of the N rows.
        out_of_range: Column to the number of implausible values that count as missing, where there is any.

    Example:
        >>> EncodedTable(np.zeros((1, 2), np.float32), np.ones((1, 2), np.bool_), ("S1",)).values.shape
        (1, 2)
    """

    values: npt.NDArray[np.float32]
    missing: npt.NDArray[np.bool_]
    subject_ids: tuple[str, ...]
    out_of_range: dict[str, int] = field(default_factory=dict)


def encode_table(frame: pd.DataFrame, schema: TabularSchema) -> EncodedTable:
    """Encode a table in which every row must be readable.

    Args:
        frame: Raw values, index ``subject_id``, the schema's columns in any order.
        schema: Schema of the network.

    Raises:
        SubjectError: a category is unknown or text stands in place of a number.
        ValueError: a column is absent or unknown, or a subject has two rows.

    Example:
        >>> schema = TabularSchema((Column(name="age_years", kind="continuous", mean=60.0, std=8.0),))
        >>> encoded = encode_table(pd.DataFrame({"age_years": [68.0, None]}, index=["a", "b"]), schema)
        >>> encoded.values.tolist(), encoded.missing.tolist()
        ([[1.0], [0.0]], [[False], [True]])
    """
    encoded, problems = encode_rows(frame, schema)
    for problem in problems.values():
        raise problem
    return encoded


def encode_rows(frame: pd.DataFrame, schema: TabularSchema) -> tuple[EncodedTable, dict[str, SubjectError]]:
    """Encode the rows that can be read and name the fault of each other one.

    Args:
        frame: Raw values, index ``subject_id``, the schema's columns in any order.
        schema: Schema of the network.

    Returns:
        The readable rows in the order of ``frame``, and per unreadable subject its error.

    Raises:
        ValueError: a column is absent or unknown, or a subject has two rows.

    Example:
        >>> schema = TabularSchema((Column(name="age_years", kind="continuous", mean=60.0, std=8.0),))
        >>> encoded, problems = encode_rows(pd.DataFrame({"age_years": ["68", "old"]}, index=["a", "b"]), schema)
        >>> encoded.subject_ids, str(problems["b"])[:24]
        (('a',), "'old' is no finite numbe")
    """
    clean = clean_table(frame, schema.columns)
    return _encoded(clean, schema), clean.problems


def decode_table(values: npt.ArrayLike, schema: TabularSchema, *, missing: npt.ArrayLike | None = None) -> pd.DataFrame:
    """Turn network rows into readable ones: categories as text, numbers in their unit.

    Args:
        values: (N, F) in schema order; NaN = missing.
        schema: Schema of the network.
        missing: (N, F) bool, True = absent; such cells become NaN whatever stands in ``values``.

    Returns:
        N rows with the schema's column names.

    Raises:
        TypeError: ``missing`` is not boolean.
        ValueError: a shape does not fit, or a category index is no whole number within its column's categories.

    Example:
        >>> schema = TabularSchema((Column(name="age_years", kind="continuous", mean=60.0, std=8.0),))
        >>> decode_table([[1.0]], schema)["age_years"].tolist()
        [68.0]
    """
    array = np.array(values, dtype=np.float64)
    _check_fits("values", array.shape, schema)
    if missing is not None:
        mask = np.asarray(missing)
        if mask.dtype != np.bool_:
            raise TypeError(f"missing must be boolean with True = absent, however: missing.dtype={mask.dtype}")
        if mask.shape != array.shape:
            raise ValueError(
                f"missing must have the shape of values {array.shape}, however: missing.shape={mask.shape}"
            )
        array[mask] = np.nan
    decoders: dict[str, Callable[[npt.NDArray[np.float64], Column], pd.Series]] = {
        "categorical": _decoded_categories,
        "continuous": _decoded_numbers,
    }
    return pd.DataFrame(
        {column.name: decoders[column.kind](array[:, at], column) for at, column in enumerate(schema.columns)}
    )


def _encoded(clean: CleanTable, schema: TabularSchema) -> EncodedTable:
    missing = clean.frame.isna().to_numpy(dtype=bool)
    values = np.zeros(missing.shape, dtype=np.float64)
    for at, column in enumerate(schema.columns):
        raw = clean.frame[column.name]
        if column.kind == "categorical":
            values[:, at] = pd.Index(column.categories).get_indexer(pd.Index(raw))
        else:
            mean, std = column.statistics
            values[:, at] = (raw - mean) / std
    values[missing] = 0.0
    return EncodedTable(
        values=values.astype(np.float32),
        missing=missing,
        subject_ids=tuple(clean.frame.index.astype(str)),
        out_of_range=clean.out_of_range,
    )


def _decoded_categories(indices: npt.NDArray[np.float64], column: Column) -> pd.Series:
    absent = np.isnan(indices)
    seen = indices[~absent]
    wrong = seen[(seen != np.floor(seen)) | (seen < 0) | (seen >= len(column.categories))]
    if wrong.size:
        raise ValueError(
            f"a category index must be a whole number from 0 to {len(column.categories) - 1} in column "
            f"{column.name!r}, however: {float(wrong[0])}: decode recovered logits to indices first"
        )
    levels = np.array([*column.categories, None], dtype=object)
    return pd.Series(levels[np.where(absent, -1, indices).astype(int)], dtype="str")


def _decoded_numbers(values: npt.NDArray[np.float64], column: Column) -> pd.Series:
    mean, std = column.statistics
    return pd.Series(values * std + mean)


def _check_fits(name: str, shape: tuple[int, ...], schema: TabularSchema) -> None:
    if len(shape) != 2 or shape[1] != schema.n_columns:
        raise ValueError(f"{name} must have shape (N, {schema.n_columns}), however: {name}.shape={shape}")
