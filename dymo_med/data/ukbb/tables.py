"""Reading of the phenotype tables: only the columns needed, several files, any dialect."""

import csv
import gzip
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from dymo_med.data.ukbb.dialects import Cell, is_participant_column, parse_column
from dymo_med.data.ukbb.pseudonyms import Pseudonymizer
from dymo_med.data.ukbb.set_aside import SetAside
from dymo_med.utils import SubjectError

__all__ = ["ParticipantTable", "read_tables", "read_withdrawn"]

_BLANKS = ["", "NA", "NaN", "nan", "<NA>"]
_BLOCK_BYTES = 1 << 25  # rows of a whole download reach hundreds of kilobytes and must fit into one block


@dataclass(frozen=True)
class ParticipantTable:
    """Raw values of the participants, one row each.

    Args:
        cells: Raw cells; index = pseudonyms in sorted order, columns = :class:`Cell` triples in sorted order.
    """

    cells: pd.DataFrame
    _places: dict[int, list[Cell]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        places: dict[int, list[Cell]] = {}
        for cell in (Cell(*column) for column in self.cells.columns.to_flat_index()):
            places.setdefault(cell.field, []).append(cell)
        object.__setattr__(self, "_places", places)

    def places(self, registry_field: int, visits: Collection[int] | None = None) -> list[Cell]:
        """Give the places of a field that the tables hold, in order of visit and position; all visits if not named."""
        found = self._places.get(registry_field, [])
        return [cell for cell in found if visits is None or cell.visit in visits]

    def without(self, subjects: Collection[str]) -> "ParticipantTable":
        """Give the table without the rows of these subjects."""
        return ParticipantTable(self.cells[~self.cells.index.isin(list(subjects))])


def read_tables(
    paths: Sequence[Path], fields: Collection[int], pseudonymizer: Pseudonymizer, aside: SetAside
) -> ParticipantTable:
    r"""Read the wanted fields of one or more tables and join them on the participant.

    A cell that several files hold is taken from whichever has it. Subjects with several rows in one file, or with
    different values in two files, are set aside.

    Args:
        paths: CSV (``.csv``, ``.csv.gz``), tab-separated (``.tsv``, ``.tab``, ``.txt``, also ``.gz``) or Parquet files.
        fields: Registry fields to read, at all visits and positions.
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
        >>> table = read_tables([folder / "t.csv"], {31}, Pseudonymizer(folder / "key"), SetAside())
        >>> table.cells.values.tolist(), table.places(31)
        ([['1']], [Cell(field=31, visit=0, array=0)])
    """
    if not paths:
        raise ValueError(f"at least one table is needed, however: tables={list(paths)!r}: pass the phenotype tables")
    frames = [_read_one(Path(path), set(fields), pseudonymizer, aside) for path in paths]
    joined = frames[0]
    for frame in frames[1:]:
        _set_conflicts_aside(joined, frame, aside)
        joined = joined.combine_first(frame)
    if joined.columns.empty:
        raise ValueError(
            f"the tables hold none of the {len(fields)} registry fields that features and labels read "
            f"({', '.join(Path(path).name for path in paths)}): export the fields listed in the feature catalogue, "
            "with field numbers as column names"
        )
    return ParticipantTable(joined.sort_index().sort_index(axis=1))


def read_withdrawn(path: Path, pseudonymizer: Pseudonymizer) -> set[str]:
    """Read a list of participants who have withdrawn: one id a line, first column, with or without a header.

    Returns:
        Their pseudonyms.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a line does not begin with a number.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no withdrawal list {path.name}: pass the file that the registry sent")
    with _open_text(path) as file:
        lines = [line.replace("\t", ",").split(",")[0].strip(" \"'\n") for line in file]
    ids = []
    for number, text in enumerate(lines, start=1):
        if text.isdigit():
            ids.append(text)
        elif text and number > 1:
            raise ValueError(f"a withdrawal list holds one id a line, however: {path.name} line {number} is no number")
    return {pseudonymizer(text) for text in ids}


def _read_one(path: Path, fields: set[int], pseudonymizer: Pseudonymizer, aside: SetAside) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"no table {path.name}: pass the CSV, tab-separated or Parquet file of the download")
    try:
        is_parquet = path.suffix.lower() == ".parquet"
        frame = _read_parquet(path, fields) if is_parquet else _read_text(path, fields)
    except (pa.ArrowException, EOFError, OSError, UnicodeDecodeError) as err:
        # The text of the cause may quote a row, and with it an id: it is not passed on.
        raise ValueError(
            f"table {path.name} cannot be read ({type(err).__name__}): it is damaged, not UTF-8 or not open to you; "
            "export it again"
        ) from None
    if frame.empty:
        raise ValueError(f"table {path.name} has {len(frame)} rows: pass a table with participants")
    subjects = pseudonymizer.many(frame.iloc[:, 0])
    _count_nameless(subjects, path, aside)
    frame = frame.iloc[:, 1:].set_axis(_cells_of(frame), axis=1)
    frame = frame.set_index(pd.Index(subjects, name="subject_id"))[subjects.notna().to_numpy()]
    _set_repeated_aside(frame.index, path, aside)
    return frame[~frame.index.duplicated()]


def _cells_of(frame: pd.DataFrame) -> pd.MultiIndex:
    cells = [cell for title in frame.columns[1:] if (cell := parse_column(title))]
    return pd.MultiIndex.from_arrays([[cell[level] for cell in cells] for level in range(3)], names=Cell._fields)


def _wanted(titles: list[str], fields: set[int], path: Path) -> list[str]:
    """Choose participant column and columns of the wanted fields, after checks of the header."""
    participants = [title for title in titles if is_participant_column(title)]
    if len(participants) != 1:
        raise ValueError(
            f"table {path.name} must have one participant column (eid, f.eid, n_eid or participant.eid), however: "
            f"{len(participants)} among {len(titles)} columns: export with field numbers, not titles, as column names"
        )
    cells: dict[Cell, str] = {}
    for title in titles:
        cell = parse_column(title)
        if cell is None or cell.field not in fields:
            continue
        if cell in cells:
            raise ValueError(
                f"table {path.name} holds field {cell.field}, visit {cell.visit}, position {cell.array} twice "
                f"(columns {cells[cell]!r} and {title!r}): remove one of them"
            )
        cells[cell] = title
    return [participants[0], *cells.values()]


def _read_parquet(path: Path, fields: set[int]) -> pd.DataFrame:
    titles = list(pa.parquet.read_schema(path).names)
    wanted = _wanted(titles, fields, path)
    frame: pd.DataFrame = pa.parquet.read_table(path, columns=wanted, use_threads=False).to_pandas()
    return frame[wanted].map(_list_as_text)


def _list_as_text(value: object) -> object:
    """Give a list-like cell the form that a text table would have."""
    return "|".join(map(str, value)) if hasattr(value, "__iter__") and not isinstance(value, str) else value


def _read_text(path: Path, fields: set[int]) -> pd.DataFrame:
    with _open_text(path) as file:
        header = file.readline()
    delimiter = "\t" if "\t" in header else ","
    titles = next(csv.reader([header], delimiter=delimiter), [])
    wanted = _wanted(titles, fields, path)
    ragged: list[int] = []

    def note(row: "pa.csv.InvalidRow") -> str:
        """Remember a row that does not have one cell per column."""
        ragged.append(row.number)
        return "skip"

    table = pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=note),
        convert_options=pa.csv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(wanted, pa.string()),
            null_values=_BLANKS,
            strings_can_be_null=True,
        ),
    )
    if ragged:
        raise ValueError(
            f"every row of a table must have the {len(titles)} columns of its header, however: table {path.name} has "
            f"{len(ragged)} longer or shorter rows, the first in line {ragged[0]}: it is cut or a cell holds a "
            "delimiter without quotes; export it again"
        )
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _open_text(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else path.open(encoding="utf-8-sig")


def _count_nameless(subjects: pd.Series, path: Path, aside: SetAside) -> None:
    nameless = int(subjects.isna().sum())
    if nameless:
        error = SubjectError(f"{nameless} rows without a participant id", where=path.name, remedy="export it again")
        aside.add([""], "table", error)


def _set_repeated_aside(subjects: pd.Index, path: Path, aside: SetAside) -> None:
    counts = subjects[subjects.duplicated(keep=False)].value_counts()
    for count in counts.unique():
        error = SubjectError(
            f"{count} rows for one participant", where=f"table {path.name}", remedy="keep the row that is right"
        )
        aside.add(counts.index[counts == count], "table", error)


def _set_conflicts_aside(left: pd.DataFrame, right: pd.DataFrame, aside: SetAside) -> None:
    subjects = left.index.intersection(right.index)
    for cell in (Cell(*column) for column in left.columns.intersection(right.columns).to_flat_index()):
        first, second = _as_text(left.loc[subjects][cell]), _as_text(right.loc[subjects][cell])
        differ = first.notna() & second.notna() & (first != second)
        error = SubjectError(
            "different values in two tables",
            where=f"field {cell.field}, visit {cell.visit}, position {cell.array}",
            remedy="keep the newer table's column",
        )
        aside.add(subjects[differ.to_numpy(bool)], "table", error)


def _as_text(raw: pd.Series) -> pd.Series:
    """Give whole numbers one form, whether a file stored text, integers or floats."""
    return raw.astype("string").str.replace(r"\.0+$", "", regex=True)
