"""The phenotype tables of a download, joined on the participant, any dialect, any number of columns."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dymo_med.data.ukbb.dialects import Cell
from dymo_med.data.ukbb.pseudonyms import Pseudonymizer
from dymo_med.data.ukbb.set_aside import SetAside
from dymo_med.data.ukbb.table_files import FileColumns, Filled, read_file
from dymo_med.utils import SubjectError

__all__ = ["ParticipantTable", "read_tables"]

_WHOLE_NUMBER = re.compile(r"\s*\d+(\.0+)?\s*")


@dataclass(frozen=True)
class ParticipantTable:
    """Raw cells of the participants, as text; blank cells take no memory.

    Args:
        subjects: Pseudonyms in sorted order.
        columns: Filled cells by place; rows are positions in ``subjects``.
        file_rows: (N,) position of each subject in the first file that has it.

    Example:
        >>> table = ParticipantTable.of({Cell(31, 0, 0): ["1", None]}, ["S1", "S2"])
        >>> table.column(Cell(31, 0, 0)).tolist(), table.places(31), Cell(50, 2, 0) in table
        (['1', nan], [Cell(field=31, visit=0, array=0)], False)
    """

    subjects: pd.Index
    columns: Mapping[Cell, Filled]
    file_rows: NDArray[np.int64]

    @classmethod
    def of(cls, cells: Mapping[Cell, Sequence[str | None]], subjects: Sequence[str]) -> "ParticipantTable":
        """Make a table from columns with all of their cells, None where blank; subjects sorted."""
        columns = {}
        for cell, values in cells.items():
            array = pa.array(values, pa.string())
            rows = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False)).astype(np.int32)
            columns[cell] = Filled(rows, array.drop_null())
        return cls(pd.Index(list(subjects), name="subject_id", dtype="str"), columns, np.arange(len(subjects)))

    def __len__(self) -> int:
        return len(self.subjects)

    def __contains__(self, cell: object) -> bool:
        return cell in self.columns

    @cached_property
    def _places(self) -> dict[int, list[Cell]]:
        places: dict[int, list[Cell]] = {}
        for cell in sorted(self.columns):
            places.setdefault(cell.field, []).append(cell)
        return places

    def places(self, registry_field: int, visits: Collection[int] | None = None) -> list[Cell]:
        """Give the places of a field that the tables hold, in order of visit and position; all visits if not named."""
        found = self._places.get(registry_field, [])
        return [cell for cell in found if visits is None or cell.visit in visits]

    def column(self, cell: Cell) -> pd.Series:
        """Give one column with a cell per subject, missing where blank."""
        rows, values = self.columns[cell]
        where = np.full(len(self), -1)
        where[rows] = np.arange(len(rows))
        taken = values.take(pa.array(where, mask=where < 0))
        return pd.Series(taken.to_pandas().to_numpy(), index=self.subjects, dtype="str")

    def is_blank(self, cell: Cell) -> NDArray[np.bool_]:
        """Tell for each subject whether the cell is blank."""
        blank = np.ones(len(self), dtype=bool)
        blank[self.columns[cell].rows] = False
        return blank

    def only(self, keep: NDArray[np.bool_]) -> "ParticipantTable":
        """Give the table with the rows that a mask keeps."""
        if keep.all():
            return self
        new_row = np.cumsum(keep, dtype=np.int32) - 1
        columns = {
            cell: Filled(new_row[rows[keep[rows]]], values.filter(pa.array(keep[rows])))
            for cell, (rows, values) in self.columns.items()
        }
        return ParticipantTable(self.subjects[keep], columns, self.file_rows[keep])


def read_tables(
    paths: Sequence[Path],
    wanted: Collection[tuple[int, int]],
    pseudonymizer: Pseudonymizer,
    aside: SetAside,
) -> ParticipantTable:
    r"""Read the wanted fields of one or more tables and join them on the participant.

    A cell that several files hold is taken from whichever has it. Subjects with several rows in one file, with
    different values in two files, or with an id that is no number, are set aside.

    Args:
        paths: CSV (``.csv``, ``.csv.gz``), tab-separated (``.tsv``, ``.tab``, ``.txt``, also ``.gz``) or Parquet files.
        wanted: Registry fields to read, each with a visit; at all positions.
        pseudonymizer: Makes the row names; no registry id leaves this function.
        aside: Receives the subjects that cannot be used.

    Returns:
        One row per participant of any table, subjects set aside included.

    Raises:
        FileNotFoundError: a table does not exist.
        ValueError: a table is empty or damaged, has no participant column or not one of the fields.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "t.csv").write_text("eid,31-0.0,50-0.0\n9000001,1,170\n")
        >>> table = read_tables([folder / "t.csv"], {(31, 0)}, Pseudonymizer(folder / "key"), SetAside())
        >>> table.places(31), table.column(Cell(31, 0, 0)).tolist()
        ([Cell(field=31, visit=0, array=0)], ['1'])
    """
    if not paths:
        raise ValueError(f"at least one table is needed, however: tables={list(paths)!r}: pass the phenotype tables")
    places = frozenset(wanted)

    def is_wanted(cell: Cell) -> bool:
        """Say whether a column is one of those to read."""
        return (cell.field, cell.visit) in places

    tables = [_of_file(read_file(Path(path), is_wanted), Path(path), pseudonymizer, aside) for path in paths]
    joined = tables[0] if len(tables) == 1 else _join(tables, aside)
    if not joined.columns:
        n_fields = len({place for place, _ in wanted})
        raise ValueError(
            f"the tables hold none of the {n_fields} registry fields that features and labels read "
            f"({', '.join(Path(path).name for path in paths)}): export the fields listed in the feature catalogue, "
            "with field numbers as column names"
        )
    return joined


def _of_file(found: FileColumns, path: Path, pseudonymizer: Pseudonymizer, aside: SetAside) -> ParticipantTable:
    """Replace ids by pseudonyms, and rows of the file by positions among the sorted pseudonyms."""
    ids = found.ids.to_pandas().astype("object")
    named = ids.notna().to_numpy()
    if nameless := int((~named).sum()):
        error = SubjectError(f"{nameless} rows without a participant id", where=path.name, remedy="export it again")
        aside.add([""], "table", error)
    subjects = pseudonymizer.many(ids[named]).to_numpy(object)
    _set_text_ids_aside(ids[named], subjects, path, aside)
    order, first, counts = np.unique(subjects, return_index=True, return_counts=True)
    _set_repeated_aside(order, counts, path, aside)
    file_rows = np.flatnonzero(named)[first]
    position = np.full(len(ids), -1, dtype=np.int32)
    position[file_rows] = np.arange(len(order))
    columns = {cell: _moved(found.columns.pop(cell), position) for cell in list(found.columns)}
    return ParticipantTable(pd.Index(order, name="subject_id", dtype="str"), columns, file_rows)


def _moved(filled: Filled, position: NDArray[np.int32]) -> Filled:
    """Give cells their new rows, in order; those with position -1 are dropped."""
    rows = position[filled.rows]
    order = np.argsort(rows, kind="stable")
    order = order[np.searchsorted(rows[order], 0) :]
    return Filled(rows[order], filled.values.take(pa.array(order)))


def _join(tables: Sequence[ParticipantTable], aside: SetAside) -> ParticipantTable:
    subjects = pd.Index(np.unique(np.concatenate([table.subjects.to_numpy(object) for table in tables])), dtype="str")
    columns: dict[Cell, Filled] = {}
    file_rows = np.full(len(subjects), -1)
    for number, table in enumerate(tables):
        position = subjects.get_indexer(table.subjects)
        new = file_rows[position] < 0
        file_rows[position[new]] = table.file_rows[new] + (number << 40)  # rows of later files come behind
        for cell, filled in table.columns.items():
            moved = Filled(position[filled.rows].astype(np.int32), filled.values)
            columns[cell] = _united(columns[cell], moved, cell, subjects, aside) if cell in columns else moved
    return ParticipantTable(subjects.rename("subject_id"), columns, file_rows)


def _united(left: Filled, right: Filled, cell: Cell, subjects: pd.Index, aside: SetAside) -> Filled:
    """Put two columns of one place together; who has two values is set aside."""
    rows, in_left, in_right = np.intersect1d(left.rows, right.rows, assume_unique=True, return_indices=True)
    differ = pc.not_equal(_plain(left.values.take(pa.array(in_left))), _plain(right.values.take(pa.array(in_right))))
    error = SubjectError(
        "different values in two tables",
        where=f"field {cell.field}, visit {cell.visit}, position {cell.array}",
        remedy="keep the newer table's column",
    )
    aside.add(subjects[rows[differ.to_numpy(zero_copy_only=False)]], "table", error)
    new = ~np.isin(right.rows, left.rows)
    all_rows = np.concatenate([left.rows, right.rows[new]])
    order = np.argsort(all_rows)
    values = pa.concat_arrays([left.values, right.values.filter(pa.array(new))])
    return Filled(all_rows[order], values.take(pa.array(order)))


def _plain(values: pa.StringArray) -> pa.StringArray:
    """Give whole numbers one form, whether a file stored text, integers or floats."""
    return pc.replace_substring_regex(values, r"\.0+$", "")


def _set_text_ids_aside(ids: pd.Series, subjects: NDArray[np.object_], path: Path, aside: SetAside) -> None:
    is_text = np.array([_WHOLE_NUMBER.fullmatch(text) is None for text in ids], dtype=bool)
    if 2 * is_text.sum() > len(is_text):
        raise ValueError(
            f"the participant column of table {path.name} must hold whole numbers, however: {is_text.sum()} of "
            f"{len(is_text)} ids are other text: pass the table with the ids of the application, not with pseudonyms"
        )
    error = SubjectError(
        "a participant id that is no whole number",
        where=f"table {path.name}",
        remedy="export it again, without rounding the ids",
    )
    aside.add(subjects[is_text], "table", error)


def _set_repeated_aside(subjects: NDArray[np.object_], counts: NDArray[np.int64], path: Path, aside: SetAside) -> None:
    for count in np.unique(counts[counts > 1]):
        error = SubjectError(
            f"{count} rows for one participant", where=f"table {path.name}", remedy="keep the row that is right"
        )
        aside.add(subjects[counts == count], "table", error)
