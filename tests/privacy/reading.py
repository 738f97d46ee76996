"""All that a folder tells: names, raw bytes, and what containers hold once they are unpacked."""

import gzip
import io
import re
import sqlite3
import zipfile
from contextlib import closing

import numpy as np
import pyarrow.parquet as pq

REGISTRY_LIKE = re.compile(r"(?<!\d)\d{7}(?!\d)")


def texts_of(name, content):
    """Every text of one file, as (form, text)."""
    yield "bytes", content.decode("latin-1")
    yield "UTF-16", content.decode("utf-16-le", "ignore")
    if content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield "member name", member
                yield from texts_of(member, archive.read(member))
    elif content.startswith(b"\x1f\x8b"):
        yield from texts_of(name, gzip.decompress(content))
    elif content.startswith(b"PAR1"):
        table = pq.read_table(io.BytesIO(content))
        for column in table.columns:
            yield "Parquet", "\n".join(map(str, column.to_pylist()))
        yield "Parquet", str(table.schema)
    elif content.startswith(b"\x93NUMPY"):
        array = np.load(io.BytesIO(content))
        if array.dtype.kind in "iuUS":
            yield "array", "\n".join(map(str, array.ravel().tolist()))
    elif content.startswith(b"SQLite format 3\0"):
        with closing(sqlite3.connect(":memory:")) as store:
            store.deserialize(content)
            yield "store", "\n".join(store.iterdump())


def told_by(folder, ids, paths):
    """Where one of the ids or one of the paths stands in anything below a folder, names of files included."""
    found = []
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        texts = [("name", name)]
        if file.is_file():
            texts += texts_of(name, file.read_bytes())
        found += [f"{name} ({form})" for form, text in texts if tells(text, ids, paths)]
    return found


def tells(text, ids, paths):
    return bool(set(REGISTRY_LIKE.findall(text)) & ids) or any(path in text for path in paths)
