"""The search of a run's outputs finds what is put there, in every form."""

import gzip
import pickle

import numpy as np
import pytest
import torch

from tests.privacy.reading import told_by
from tests.privacy.samples import ID, IDS, array, database, packed, parquet

FORMS = {
    "a.txt": f"subject {ID}\n".encode(),
    f"{ID}_20209_2_0.txt": b"",
    f"a/{ID}/b.txt": b"",
    "a.html": f"<p>{ID}</p>".encode(),
    "a.utf16": ID.encode("utf-16-le"),
    "number.parquet": parquet(eid=[int(ID)]),
    "text.parquet": parquet(path=[f"x/{ID}.zip"] * 50),
    "title.parquet": parquet(**{ID: [1.0]}),
    "a.npy": array(np.array(IDS)),
    "a.zip": packed(**{"b.txt": ID.encode()}),
    "name.zip": packed(**{f"{ID}.txt": b""}),
    "nested.zip": packed(**{"b.txt.gz": gzip.compress(ID.encode())}),
    "a.json.gz": gzip.compress(f'["{ID}"]'.encode()),
    "a.pkl": pickle.dumps({"eid": ID}),
    "path.txt": b"read from /data/download/x.zip",
}


@pytest.mark.parametrize("name", FORMS)
def test_planted_ids_and_paths_are_found(tmp_path, name):
    path = tmp_path / "folder" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(FORMS[name])
    assert told_by(tmp_path / "folder", {ID}, ["/data/download"])
    assert told_by(tmp_path / "folder", {str(IDS[-1] + 1)}, ["/data/other"]) == []


def test_planted_ids_in_stores_and_weights_are_found(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(database(tmp_path, ["key", "value"], [("x", f"/zip/{ID}/y")]))
    torch.save({"state": torch.zeros(2), "subjects": [ID]}, folder / "model.pt")
    assert [line.split(" (")[0] for line in told_by(folder, {ID}, [])] == ["mlflow.db"] * 2 + ["model.pt"] * 2
