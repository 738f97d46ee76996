"""Peak memory and time of reading the registry's participant table.

Writes a simulated table row by row (ids, empty cells for the many fields that nobody asks for, filled ones for those
that features and labels read), then reads it in a fresh process as ``dymo-med prepare`` does, and reports the peak
memory of that process. The default is the size of the whole registry, some 10 GB of CSV.

    python -m benchmarks.participant_table --rows 500000 --columns 20000
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_DIAGNOSES = 259
"""Array positions of fields 41270 and 41280 in recent releases."""


def main() -> None:
    """Write the table, read it in a process of its own, print one line of JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--columns", type=int, default=20_000)
    parser.add_argument("--scanned", type=float, default=0.2, help="share of participants with an imaging visit")
    parser.add_argument("--form", choices=["csv", "parquet"], default="csv")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="needs room for the table")
    parser.add_argument("--read", type=Path, help="read this table and report, instead of writing one")
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(read(arguments.read)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / f"participants.{arguments.form}"
        write = write_csv if arguments.form == "csv" else write_parquet
        write(path, arguments.rows, arguments.columns, arguments.scanned)
        words = [sys.executable, "-W", "ignore", "-m", "benchmarks.participant_table", "--read", str(path)]
        told = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        size = {"rows": arguments.rows, "columns": arguments.columns, "form": arguments.form}
        print(json.dumps({**size, "gigabytes": round(path.stat().st_size / 1e9, 2), **told}))


def titles_of(n_columns: int) -> tuple[list[str], int]:
    """Give the titles of the columns, those that are read first, and how many of them are read."""
    from dymo_med.data.ukbb import load_catalogue, load_labels
    from dymo_med.data.ukbb.labels import label_fields

    catalogue = load_catalogue()
    fields = {place for place, _ in label_fields(["cad", "infarction"], load_labels(), catalogue, visit=2)}
    fields |= {place for feature in catalogue.select() for place in feature.sources}
    single, whole = {31, 34, 52, 42000, 40000, 191}, {41270, 41280}
    wanted = [f"{field}-0.0" for field in sorted(fields & single)]
    wanted += [f"{field}-{visit}.0" for field in sorted(fields - single - whole) for visit in range(4)]
    wanted += [f"{field}-0.{position}" for field in sorted(whole) for position in range(N_DIAGNOSES)]
    others = (f"{field}-{visit}.0" for field in range(100_000, 200_000) for visit in range(4))
    return [*wanted, *(next(others) for _ in range(n_columns - len(wanted)))], len(wanted)


def cells_of(titles: list[str], scanned: bool, rng: np.random.Generator) -> list[str]:
    """Give plausible cells for the columns that are read; those of visits that never were are empty."""
    n_codes = int(min(rng.poisson(8), N_DIAGNOSES))
    cells = []
    for title in titles:
        field, place = title.split("-")
        visit, position = (int(part) for part in place.split("."))
        if field == "41270":
            cells.append(f"J{rng.integers(10, 99)}0" if position < n_codes else "")
        elif field == "41280":
            cells.append("2011-05-06" if position < n_codes else "")
        elif field in ("42000", "40000", "191") or visit in (1, 3) or (visit == 2 and not scanned):
            cells.append("")
        elif field == "53":
            cells.append("2016-07-08")
        else:
            cells.append("1955" if field == "34" else "1")
    return cells


def write_csv(path: Path, n_rows: int, n_columns: int, scanned: float) -> None:
    """Write the table row by row; the filled part repeats every thousand participants."""
    titles, n_wanted = titles_of(n_columns)
    rng = np.random.default_rng(0)
    patterns = [",".join(cells_of(titles[:n_wanted], k < 1000 * scanned, rng)) for k in range(1000)]
    tail = "," * (n_columns - n_wanted) + "\n"
    with path.open("w", encoding="ascii") as file:
        file.write(",".join(["eid", *titles]) + "\n")
        for row in range(n_rows):
            file.write(f"{9_000_000 + row},{patterns[row % 1000]}{tail}")


def write_parquet(path: Path, n_rows: int, n_columns: int, scanned: float) -> None:
    """Write the same table as Parquet, in groups of 50,000 rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    titles, n_wanted = titles_of(n_columns)
    rng = np.random.default_rng(0)
    patterns = [cells_of(titles[:n_wanted], k < 1000 * scanned, rng) for k in range(1000)]
    schema = pa.schema([(title, pa.string()) for title in ["eid", *titles]])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, n_rows, 50_000):
            rows = range(start, min(start + 50_000, n_rows))
            ids = pa.array([str(9_000_000 + row) for row in rows])
            filled = [pa.array([patterns[row % 1000][k] or None for row in rows], pa.string()) for k in range(n_wanted)]
            empty = pa.nulls(len(rows), pa.string())
            writer.write_table(pa.Table.from_arrays([ids, *filled, *[empty] * (n_columns - n_wanted)], schema=schema))


def read(path: Path) -> dict[str, float]:
    """Read a table as ``dymo-med prepare`` does, with images of every tenth participant, and give cost and counts."""
    from dymo_med.data.ukbb import read_download

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        for row in range(0, 1000, 10):
            (folder / "images" / f"{9_000_000 + row}_20209_2_0.zip").touch()
        before = _peak_mebibytes()
        start = time.perf_counter()
        download = read_download([path], folder / "images", key_file=folder / "key")
        seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 1),
        "peak_mib": round(_peak_mebibytes()),
        "peak_mib_of_imports": round(before),
        "subjects": len(download.features),
        "features": download.features.shape[1],
    }


def _peak_mebibytes() -> float:
    """Give the peak of this program alone: what getrusage tells contains that of the process that started it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
