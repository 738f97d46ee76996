"""Reading of one phenotype table: only the columns needed, in blocks, and only the cells that are filled."""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from dymo_med.data.ukbb.dialects import Cell, is_participant_column, parse_column

__all__ = ["FileColumns", "Filled", "open_text", "read_file"]

_BLANKS = ["", "NA", "NaN", "nan", "<NA>"]
_BLOCK_BYTES = 1 << 24  # rows of a whole download reach hundreds of kilobytes and must fit into one block
_ROWS_AT_ONCE = 1 << 14


class Filled(NamedTuple):
    """The filled cells of one column.

    Args:
        rows: (K,) positions, increasing.
        values: (K,) text.
    """

    rows: NDArray[np.int32]
    values: pa.StringArray


@dataclass(frozen=True)
class FileColumns:
    """What one file holds.

    Args:
        ids: (N,) participant column as text, null where blank; in the order of the file.
        columns: Filled cells by place; rows count those of the file.
    """

    ids: pa.StringArray
    columns: dict[Cell, Filled]


def read_file(path: Path, wanted: Callable[[Cell], bool]) -> FileColumns:
    """Read the wanted columns of one table.

    Cells are text, whatever the file stored: a whole number in a float column reads "180", lists are joined by bars.
    Peak memory grows with the filled cells of the wanted columns, not with the size of the file.

    Args:
        path: CSV (``.csv``, ``.csv.gz``), tab-separated (``.tsv``, ``.tab``, ``.txt``, also ``.gz``) or Parquet.
        wanted: Tells of a place whether to read its column.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is empty or damaged, has no participant column, or the same place twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no table {path.name}: pass the CSV, tab-separated or Parquet file of the download")
    try:
        is_parquet = path.suffix.lower() == ".parquet"
        found = _read_parquet(path, wanted) if is_parquet else _read_text(path, wanted)
    except (pa.ArrowException, EOFError, OSError, UnicodeDecodeError, zlib.error, csv.Error) as err:
        # The text of the cause may quote a row, and with it an id: it is not passed on.
        raise ValueError(
            f"table {path.name} cannot be read ({type(err).__name__}): it is damaged, not UTF-8 or not open to you; "
            "export it again"
        ) from None
    if len(found.ids) == 0:
        raise ValueError(f"table {path.name} has {len(found.ids)} rows: pass a table with participants")
    return found


def open_text(path: Path) -> IO[str]:
    """Open a text file, plain or gzipped, with or without a byte order mark."""
    return gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else path.open(encoding="utf-8-sig")


def _read_parquet(path: Path, wanted: Callable[[Cell], bool]) -> FileColumns:
    with pa.parquet.ParquetFile(path) as file:
        participant, cells = _choose(list(file.schema_arrow.names), wanted, path)
        batches = file.iter_batches(_ROWS_AT_ONCE, columns=[participant, *cells.values()], use_threads=False)
        return _gather(batches, participant, cells)


def _read_text(path: Path, wanted: Callable[[Cell], bool]) -> FileColumns:
    with open_text(path) as file:
        header = file.readline()
    delimiter = "\t" if "\t" in header else ","
    titles = next(csv.reader([header], delimiter=delimiter), [])
    participant, cells = _choose(titles, wanted, path)
    ragged: list[int] = []

    def note(row: "pa.csv.InvalidRow") -> str:
        """Remember a row that does not have one cell per column."""
        ragged.append(row.number)
        return "skip"

    chosen = [participant, *cells.values()]
    batches = pa.csv.open_csv(
        path,
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=note),
        convert_options=pa.csv.ConvertOptions(
            include_columns=chosen,
            column_types=dict.fromkeys(chosen, pa.string()),
            null_values=_BLANKS,
            strings_can_be_null=True,
        ),
    )
    found = _gather(batches, participant, cells)
    if ragged:
        raise ValueError(
            f"every row of a table must have the {len(titles)} columns of its header, however: table {path.name} has "
            f"{len(ragged)} longer or shorter rows, the first in line {ragged[0]}: it is cut or a cell holds a "
            "delimiter without quotes; export it again"
        )
    return found


def _choose(titles: Sequence[str], wanted: Callable[[Cell], bool], path: Path) -> tuple[str, dict[Cell, str]]:
    """Choose participant column and wanted columns, after checks of the header."""
    participants = [title for title in titles if is_participant_column(title)]
    if len(participants) != 1:
        raise ValueError(
            f"table {path.name} must have one participant column (eid, f.eid, n_eid or participant.eid), however: "
            f"{len(participants)} among {len(titles)} columns: export with field numbers, not titles, as column names"
        )
    cells: dict[Cell, str] = {}
    for title in titles:
        cell = parse_column(title)
        if cell is None or not wanted(cell):
            continue
        if cell in cells:
            raise ValueError(
                f"table {path.name} holds field {cell.field}, visit {cell.visit}, position {cell.array} twice "
                f"(columns {cells[cell]!r} and {title!r}): remove one of them"
            )
        cells[cell] = title
    return participants[0], cells


def _gather(batches: Iterable[pa.RecordBatch], participant: str, cells: dict[Cell, str]) -> FileColumns:
    ids: list[pa.Array] = []
    parts: dict[Cell, list[Filled]] = {cell: [] for cell in cells}
    start = 0
    for table in _larger(batches):
        ids.append(_as_text(table[participant]))
        for cell, title in cells.items():
            column = table[title].combine_chunks()
            rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
            if len(rows):
                parts[cell].append(Filled((rows + start).astype(np.int32), _as_text(column.drop_null())))
        start += table.num_rows
    return FileColumns(
        pa.concat_arrays(ids or [pa.array([], pa.string())]), {cell: _joined(parts.pop(cell)) for cell in cells}
    )


def _larger(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Put batches together until they have enough rows to be worth a step: wide rows make them small."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= _ROWS_AT_ONCE:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _joined(parts: list[Filled]) -> Filled:
    if not parts:
        return Filled(np.empty(0, dtype=np.int32), pa.array([], pa.string()))
    return Filled(np.concatenate([part.rows for part in parts]), pa.concat_arrays([part.values for part in parts]))


def _as_text(column: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    """Give cells the form that a text table would have."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return pc.binary_join(array.cast(pa.list_(pa.string())), "|")
    return array.cast(pa.string())
