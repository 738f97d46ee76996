"""The order, coding and training statistics of a clinical table: what a trained network expects of every row."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd

from dymo_med.tabular.cleaning import clean_table
from dymo_med.tabular.column import Column
from dymo_med.utils import read_json, write_json

__all__ = ["Column", "TabularSchema"]

_FORMAT = "dymo_med tabular schema"
_VERSION = 1


@dataclass(frozen=True)
class TabularSchema:
    """The fitted columns of a table, categorical ones first, then continuous ones.

    The order within each kind is that of ``columns``. A schema goes with the network that was trained on it: a row
    becomes network input, and a recovered row becomes readable, through the same schema only.

    Args:
        columns: At least one column; continuous ones with training mean and standard deviation.

    Raises:
        ValueError: no column, two of one name, or a continuous column without statistics.

    Example:
        >>> sex = Column(name="sex", kind="categorical", categories=("female", "male"))
        >>> age = Column(name="age_years", kind="continuous", mean=60.0, std=8.0)
        >>> schema = TabularSchema((age, sex))
        >>> schema.names, schema.cat_cardinalities, schema.n_num_features
        (['sex', 'age_years'], [2], 1)
    """

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.columns, key=lambda column: column.kind != "categorical"))
        names = [column.name for column in ordered]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if not names or repeated:
            raise ValueError(
                f"a schema needs one column or more, each name once, however: {len(names)} columns, repeated {repeated}"
            )
        unfitted = [column.name for column in ordered if column.kind == "continuous" and column.mean is None]
        if unfitted:
            raise ValueError(
                f"continuous columns need mean and std, however: none in {unfitted}: use TabularSchema.fit"
            )
        object.__setattr__(self, "columns", ordered)

    @property
    def names(self) -> list[str]:
        """Column names in network order."""
        return [column.name for column in self.columns]

    @property
    def cat_cardinalities(self) -> list[int]:
        """Number of categories of every categorical column, in network order."""
        return [len(column.categories) for column in self.columns if column.kind == "categorical"]

    @property
    def n_num_features(self) -> int:
        """Number of continuous columns."""
        return sum(column.kind == "continuous" for column in self.columns)

    @property
    def n_columns(self) -> int:
        """Number of columns F."""
        return len(self.columns)

    @property
    def categorical_offsets(self) -> list[int]:
        """Index of each categorical column's first category when the categories of all columns stand in one line."""
        return list(accumulate(self.cat_cardinalities[:-1], initial=0)) if self.cat_cardinalities else []

    @property
    def digest(self) -> str:
        """SHA-256 of the content as hexadecimal text; equal for equal schemas, however they are stored."""
        text = json.dumps(self._content(), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    @classmethod
    def fit(cls, frame: pd.DataFrame, columns: Sequence[Column]) -> "TabularSchema":
        """Learn mean and standard deviation (n - 1) of the continuous columns.

        Args:
            frame: Raw values of the training rows only, index ``subject_id``; values outside the plausible range and
                missing cells take no part.
            columns: Columns of the table; statistics that they may carry are replaced.

        Raises:
            SubjectError: a cell cannot be read.
            ValueError: columns are absent or unknown, a column has no training value, or a continuous one is constant.

        Example:
            >>> raw = pd.DataFrame({"age_years": [50.0, 60.0, 70.0]}, index=["a", "b", "c"])
            >>> fitted = TabularSchema.fit(raw, [Column(name="age_years", kind="continuous")]).columns[0]
            >>> fitted.mean, fitted.std
            (60.0, 10.0)
        """
        clean = clean_table(frame, columns)
        for problem in clean.problems.values():
            raise problem
        empty = [column.name for column in columns if clean.frame[column.name].notna().sum() == 0]
        numeric = [column.name for column in columns if column.kind == "continuous"]
        constant = [name for name in numeric if name not in empty and clean.frame[name].nunique() < 2]
        if empty or constant:
            raise ValueError(
                f"every column must vary in the {len(frame)} training rows, however: no value in {empty}, one value "
                f"only in {constant}: leave these columns out or train on more subjects"
            )
        means, stds = clean.frame[numeric].mean(), clean.frame[numeric].std(ddof=1)
        return cls(
            tuple(
                replace(column, mean=float(means[column.name]), std=float(stds[column.name]))
                if column.kind == "continuous"
                else column
                for column in columns
            )
        )

    def to_json(self, path: str | Path) -> None:
        """Write the schema as a whole or not at all."""
        write_json(path, {"format": _FORMAT, "version": _VERSION, **self._content()})

    @classmethod
    def from_json(cls, path: str | Path) -> "TabularSchema":
        """Read what :meth:`to_json` wrote.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: it is no schema, one of a later version, or one that was damaged by hand.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no table schema at {path}: pass the schema.json of a prepared cohort")
        content = read_json(path)
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        if found != _FORMAT:
            raise ValueError(
                f"{path.name} must be a {_FORMAT}, however: format={found!r}: pass the schema.json of a cohort"
            )
        if content.get("version") != _VERSION:
            raise ValueError(
                f"{path.name} must be of format version {_VERSION}, however: version={content.get('version')!r}: "
                "use the release of dymo_med that wrote it, or prepare the cohort again"
            )
        columns = content.get("columns")
        if not isinstance(columns, list):
            raise ValueError(
                f"{path.name} must list columns, however: columns={type(columns).__name__}: prepare the cohort again"
            )
        return cls(tuple(_column_from(entry, f"{path.name}, column {at}") for at, entry in enumerate(columns)))

    def _content(self) -> dict[str, Any]:
        return {"columns": [asdict(column) for column in self.columns]}


def _column_from(entry: object, where: str) -> Column:
    known = {field.name for field in fields(Column)}
    if not isinstance(entry, Mapping) or not {"name", "kind"} <= set(entry) <= known:
        found = sorted(map(str, entry)) if isinstance(entry, Mapping) else type(entry).__name__
        raise ValueError(
            f"{where} must have name, kind and only known keys, however: {found}: prepare the cohort again"
        )
    values: dict[str, Any] = {**entry, "categories": tuple(entry.get("categories", ()))}
    try:
        return Column(**values)
    except TypeError as err:
        raise ValueError(f"{where} is damaged ({err}): prepare the cohort again") from err
