"""Content that a scan must find; ids are put together here, for the sources are scanned too."""

import gzip
import io
import json
import pickle
import sqlite3
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

IDS = [4_000_000 + 13 * number for number in range(1, 9)]
ID = str(IDS[0])


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def array(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def database(tmp_path, columns, rows):
    path = tmp_path / "store.db"
    store = sqlite3.connect(path)
    store.execute(f"CREATE TABLE runs ({', '.join(columns)})")
    store.executemany(f"INSERT INTO runs VALUES ({', '.join('?' * len(columns))})", rows)
    store.commit()
    store.close()
    return path.read_bytes()


def notebook(*outputs):
    cells = [{"cell_type": "code", "source": ["1"], "outputs": output} for output in outputs]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": []}, *cells], "nbformat": 4}).encode()


def packed(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


DICOM = bytes(128) + b"DICM" + bytes(20)
NIFTI = bytes(344) + b"n+1\0" + bytes(20)

FOUND = {
    "id in text": ("a.md", f"see participant {ID}\n".encode(), "id"),
    "id as R writes it": ("a.R", f"x <- {ID}.0\n".encode(), "id"),
    "id in a file name in text": ("a.py", f'"{ID}_20209_2_0.zip"\n'.encode(), "id"),
    "id of a BIDS folder": ("a.json", f'["sub-{ID}"]'.encode(), "id"),
    "id in binary content": ("a.bin", b"\0\1\2" + f"path/to/{ID}_20209.dcm".encode() + b"\0", "id"),
    "id column": ("a.csv", b"eid,31-0.0\n9000001,1\n", "id-column"),
    "id column of R": ("a.tab", b"f.eid\tf.31.0.0\n9000001\t1\n", "id-column"),
    "id column of the platform": ("a.csv", b"participant.eid,participant.p31\n9000001,1\n", "id-column"),
    "id column after a mark": ("a.csv", b'\xef\xbb\xbf"n_eid";"n_31_0_0"\n9000001;1\n', "id-column"),
    "packed table": ("a.csv.gz", gzip.compress(b"eid,31-0.0\n9000001,1\n"), "id-column"),
    "titled Parquet column": ("a.parquet", parquet(eid=[9_000_001], value=[1.0]), "id-column"),
    "untitled Parquet column": ("a.parquet", parquet(who=IDS, value=[1.0] * 8), "id-column"),
    "Parquet text": ("a.parquet", parquet(path=[f"imaging/{ID}_20209_2_0.zip"]), "id"),
    "Parquet lists": ("a.parquet", parquet(path=[[f"imaging/{ID}_20209_2_0.zip"]]), "id"),
    "array of ids": ("a.npy", array(np.array(IDS)), "id-column"),
    "array of ids as floats": ("a.npy", array(np.array(IDS, dtype=float)), "id-column"),
    "array of names": ("a.npy", array(np.array([f"{ID}.dcm"])), "id"),
    "array of objects": ("a.npy", array(np.array([{}, {}], dtype=object)), "pickle"),
    "pickle": ("weights", pickle.dumps({}), "pickle"),
    "pickle by name": ("a.pkl", b"(dp0\n.", "pickle"),
    "notebook": ("a.ipynb", notebook([], [{"data": {}}]), "notebook-output"),
    "damaged notebook": ("a.ipynb", b"{", "unreadable"),
    "DICOM": ("scan", DICOM, "dicom"),
    "DICOM without a preamble": ("scan.dcm", b"x", "dicom"),
    "NIfTI": ("scan.nii", NIFTI, "nifti"),
    "packed NIfTI": ("scan.nii.gz", gzip.compress(NIFTI), "nifti"),
    "zip": ("a.zip", packed(a=DICOM), "archive"),
    "damaged zip": ("a.zip", b"PK\x03\x04x", "archive"),
    "tar": ("a.tar", bytes(257) + b"ustar" + bytes(20), "archive"),
    "xz": ("a.xz", b"\xfd7zXZ\0", "archive"),
    "damaged gzip": ("a.gz", b"\x1f\x8bx", "unreadable"),
    "damaged Parquet": ("a.parquet", b"PAR1xxxxPAR1", "unreadable"),
    "damaged array": ("a.npy", b"\x93NUMPYx", "unreadable"),
    "damaged store": ("a.db", b"SQLite format 3\0" + b"\1" * 90, "unreadable"),
    "large table": ("a.csv", b"a,b\n" + b"1,2\n" * 30_000, "table"),
    "large sheet": ("a.feather", bytes(100_001), "table"),
    "large array": ("a.npy", array(np.zeros(20_000)), "table"),
}

CLEAN = {
    "round number": ("a.py", b"LIMIT = 2000000; COUNT = 1500000\n"),
    "power of two": ("a.py", f"SIZE = {1 << 21}, {1 << 22}\n".encode()),
    "placeholder": ("a.py", b'"1234567_20209_2_0.zip"\n'),
    "simulated id": ("a.py", b"9000001\n"),
    "fraction": ("a.csv", f"a\n0.{ID}\n12.{ID}\n-3.{ID}e-5\n".encode()),
    "decimal number": ("a.txt", f"{ID}.25\n".encode()),
    "unique identifier": ("a.txt", f"2.25.{ID}.1\n".encode()),
    "longer number": ("a.txt", f"1{ID} {ID}0\n".encode()),
    "digest": ("a.txt", f"a{ID}b {ID}f\n".encode()),
    "web address": ("a.py", f"# https://example.org/questions/{ID}/how\n".encode()),
    "bytes by chance": ("a.bin", b"\0\1" + ID.encode() + b"\0\2"),
    "title alone": ("a.csv", b"eid,31-0.0\n"),
    "word that contains the title": ("a.csv", b"weid,height\n1,2\n"),
    "word in prose": ("a.txt", b"eid is the title of the column\nof ids\n"),
    "empty notebook": ("a.ipynb", notebook([], [])),
    "small table": ("a.csv", b"group,n\nall,400\n"),
    "small Parquet table": ("a.parquet", parquet(n=[1, 2], name=["a", "b"])),
    "few numbers": ("a.parquet", parquet(size=IDS[:2])),
    "repeated number": ("a.parquet", parquet(size=IDS[:1] * 9)),
    "small array": ("a.npy", array(np.zeros(9))),
    "scalar array": ("a.npy", array(np.float64(3))),
    "long text": ("a.md", b"word " * 50_000),
    "picture": ("a.png", b"\x89PNG" + bytes(range(256)) * 900),
    "empty file": ("a", b""),
}
