"""Small hand-written downloads: one set of rows, written in any dialect and file form."""

import csv
import gzip
import io
import json
from pathlib import Path

import pandas as pd

from dymo_med.data.ukbb import UKBBDownload, read_download

FIRST_ID = 9_000_001

TITLES = {
    "classic": "{field}-{visit}.{array}",
    "f": "f.{field}.{visit}.{array}",
    "X": "X{field}.{visit}.{array}",
    "n": "n_{field}_{visit}_{array}",
    "x": "x{field}_{visit}_{array}",
    "c": "c{field}_{visit}_{array}",
    "s": "s_{field}_{visit}_{array}",
    "f_": "f_{field}_{visit}_{array}",
}
PARTICIPANT = {"f": "f.eid", "f_": "f_eid", "n": "n_eid", "s": "n_eid", "participant": "participant.eid"}
MULTIPLE = (6150, 6153, 6177, 41270)
LIST_FORMS = {
    "bar": "|".join,
    "json": json.dumps,
    "python": repr,
}

# A woman of 60 without heart disease; rows of a test change some of her cells.
WOMAN = {
    "31-0.0": "0",
    "34-0.0": "1955",
    "52-0.0": "3",
    "53-2.0": "2015-03-15",
    "6150-2.0": "-7",
    "6153-2.0": "-7",
    "41270-0.0": "J459",
    "41280-0.0": "2001-05-06",
    "42000-0.0": "",
    "4080-2.0": "120",
    "4080-2.1": "130",
    "50-2.0": "165",
}


def person(**changes: str) -> dict[str, str]:
    """The woman with other cells: ``person(f6150_2_0="1")``."""
    renamed = {}
    for name, value in changes.items():
        field, visit, array = name[1:].split("_")
        renamed[f"{field}-{visit}.{array}"] = value
    return WOMAN | renamed


def _split(title: str) -> tuple[int, int, int]:
    field, rest = title.split("-")
    visit, array = rest.split(".")
    return int(field), int(visit), int(array)


def rename(rows: list[dict[str, str]], dialect: str) -> list[dict[str, str]]:
    """Rows of a classic table in another dialect with one column a cell."""
    return [
        {TITLES[dialect].format(**dict(zip(("field", "visit", "array"), _split(title), strict=True))): value
         for title, value in row.items()}
        for row in rows
    ]  # fmt: skip


def collapse(rows: list[dict[str, str]], form: str, prefix: str = "") -> list[dict[str, str]]:
    """Rows of a classic table as the Research Analysis Platform writes them."""
    cells = [_split(title) for row in rows for title in row]
    many_visits = {field for field, visit, _ in cells if visit > 0}
    many_arrays = {field for field, _, array in cells if array > 0}
    result = []
    for row in rows:
        out: dict[str, str] = {}
        lists: dict[str, list[str]] = {}
        for title, value in row.items():
            field, visit, array = _split(title)
            name = f"{prefix}p{field}" + (f"_i{visit}" if field in many_visits else "")
            if field in MULTIPLE:
                lists.setdefault(name, [])
                lists[name] += [value] if value else []
            else:
                out[name + (f"_a{array}" if field in many_arrays else "")] = value
        for name, values in lists.items():
            out[name] = LIST_FORMS[form](values) if values else ""
        result.append(out)
    return result


def write_table(path: Path, rows: list[dict[str, str]], ids: list[str] | None = None, participant: str = "eid") -> Path:
    """Write rows as CSV, TSV, gzip or Parquet, as the name says; columns in order of first appearance."""
    titles = list(dict.fromkeys(title for row in rows for title in row))
    ids = ids or [str(FIRST_ID + k) for k in range(len(rows))]
    if path.suffix == ".parquet":
        columns = {participant: ids} | {title: [row.get(title) or None for row in rows] for title in titles}
        pd.DataFrame(columns).to_parquet(path, index=False)
        return path
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t" if ".tsv" in path.name else ",")
    writer.writerow([participant, *titles])
    writer.writerows([eid, *(row.get(title, "") for title in titles)] for eid, row in zip(ids, rows, strict=True))
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_images(folder: Path, ids: list[str], visit: int = 2) -> Path:
    """Write empty files with the names of short-axis zips."""
    for eid in ids:
        path = folder / eid[:2] / f"{eid}_20209_{visit}_0.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def read_rows(tmp_path: Path, rows: list[dict[str, str]], **arguments) -> UKBBDownload:
    """Write a classic table with one image a row, and read it; rows of the result are in the order of ``rows``."""
    ids = [str(FIRST_ID + k) for k in range(len(rows))]
    table = write_table(tmp_path / "participants.csv", rows)
    return read_download([table], write_images(tmp_path / "images", ids), key_file=tmp_path / "key", **arguments)


def in_order(download: UKBBDownload) -> list[str]:
    """Pseudonyms in the order of the rows written."""
    return list(download.file_rows.sort_values().index)


def values(download: UKBBDownload, name: str) -> list[object]:
    """Values of a feature or label in the order of the rows written, None for missing."""
    frame = download.features if name in download.features else download.labels
    column = frame.loc[in_order(download), name].astype(object)
    return [None if pd.isna(value) else value for value in column]
