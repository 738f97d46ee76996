"""Examination of tables: text, Parquet, NumPy arrays and SQLite stores such as MLflow's."""

import io
import re
import sqlite3
import warnings
from collections.abc import Iterable, Sequence
from contextlib import closing

from dymo_med.privacy.findings import Finding, Kind
from dymo_med.privacy.numbers import id_positions, is_id_column, looks_like_ids

__all__ = ["examine_array", "examine_database", "examine_parquet", "examine_text_table"]

_DELIMITER = re.compile(r"[,;\t|]")


def examine_text_table(content: bytes) -> list[Finding]:
    r"""Look for a column of ids by the header of a delimited table that has at least one row.

    Example:
        >>> examine_text_table(b"eid,31-0.0\n9000001,1\n")[0].why
        "a column 'eid'"
        >>> examine_text_table(b"eid,31-0.0\n")
        []
    """
    header, _, rows = content.partition(b"\n")
    if not rows.strip():
        return []
    titles = _DELIMITER.split(header.decode("utf-8-sig", "replace").strip())
    return _columns([title.strip("\"' ") for title in titles if is_id_column(title)])


def examine_parquet(content: bytes) -> list[Finding]:
    """Look for columns of ids, by title or by values, and for ids in text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with closing(pq.ParquetFile(io.BytesIO(content))) as file:
            names = file.schema_arrow.names
            found = [(name, file.read(columns=[name]).column(0).to_pylist()) for name in names]
    except (pa.ArrowException, OSError, IndexError) as err:
        return [Finding(kind=Kind.UNREADABLE, why=f"a Parquet file that cannot be read ({type(err).__name__})")]
    return _examine_columns(found)


def examine_array(content: bytes) -> list[Finding]:
    """Look for ids in a NumPy array; one of objects is a pickle and is not opened."""
    import numpy as np

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of old headers, which are sound
            array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, OSError, EOFError) as err:
        kind = Kind.PICKLE if b"|O" in content[:256] else Kind.UNREADABLE
        return [Finding(kind=kind, why=f"an array that cannot be read ({type(err).__name__})")]
    columns = array.reshape(array.shape[0], -1).T if array.ndim and array.size else []
    return _examine_columns([("", column.tolist()) for column in columns if column.dtype.kind in "iuUSf"][:1000])


def examine_database(content: bytes) -> list[Finding]:
    """Look for columns of ids and for ids in text in every table of an SQLite store."""
    unlocked = content[:18] + b"\1\1" + content[20:]  # read as one without a write-ahead log, which lies in other files
    try:
        with closing(sqlite3.connect(":memory:")) as store:
            store.deserialize(unlocked)
            store.text_factory = lambda text: text.decode("utf-8", "replace")
            names = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found: list[Finding] = []
            for name in names:
                quoted = name.replace('"', '""')
                rows = store.execute(f'SELECT * FROM "{quoted}"')
                titles = [f"{name}.{column[0]}" for column in rows.description]
                values = list(zip(*rows.fetchall(), strict=True)) or [()] * len(titles)
                found += _examine_columns(list(zip(titles, values, strict=True)))
    except sqlite3.Error as err:
        return [Finding(kind=Kind.UNREADABLE, why=f"an SQLite store that cannot be read ({type(err).__name__})")]
    return found


def _examine_columns(columns: Sequence[tuple[str, Iterable[object]]]) -> list[Finding]:
    titled, n_ids = [], 0
    for title, values in columns:
        present = [value for value in values if value is not None and value == value]
        numbers = [value for value in present if isinstance(value, int | float) and not isinstance(value, bool)]
        finite = [value for value in numbers if abs(value) < float("inf")]
        if present and (is_id_column(title.rpartition(".")[2]) or looks_like_ids(finite)):
            titled.append(title)
        texts = [value if isinstance(value, bytes) else str(value).encode() for value in present if _is_text(value)]
        n_ids += sum(1 for text in texts for _ in id_positions(text))
    ids = [Finding(kind=Kind.ID, why=f"{n_ids} number(s) like participant ids in text cells")] if n_ids else []
    return _columns(titled) + ids


def _is_text(value: object) -> bool:
    return isinstance(value, str | bytes | list | dict)


def _columns(titles: Sequence[str]) -> list[Finding]:
    return [Finding(kind=Kind.ID_COLUMN, why=f"a column {title!r}") for title in titles]
