import gzip
import struct

import numpy as np
import pandas as pd
import pytest

from dymo_med.cli import main
from dymo_med.data.polymnist import PolyMNIST
from tests.data.polymnist.build import digits


@pytest.fixture
def files(tmp_path):
    pictures, labels = digits(100, 4)
    for name, array in (("images", pictures), ("labels", labels)):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (tmp_path / name).write_bytes(gzip.compress(head + array.tobytes()))
    return ["--images", str(tmp_path / "images"), "--labels", str(tmp_path / "labels")]


def test_set_is_written(files, tmp_path, capsys):
    assert main(["polymnist", *files, "--output", str(tmp_path / "set"), "--seed", "3"]) == 0
    data = PolyMNIST(tmp_path / "set")
    assert data.modalities == ["m0", "m1", "m2", "m3", "m4"]
    assert "100 samples (test 15, train 80, val 5) of 5 modalities" in capsys.readouterr().out


def test_textures_and_number_of_digits_can_be_chosen(files, tmp_path):
    words = ["--textures", "coffee", "rocket", "--n-digits", "60", "--output", str(tmp_path / "set")]
    assert main(["polymnist", *files, *words]) == 0
    data = PolyMNIST(tmp_path / "set")
    assert (len(data.modalities), len(data)) == (2, 60)


def test_training_digits_can_be_kept_from_the_classifier(files, tmp_path, capsys):
    assert main(["polymnist", *files, "--output", str(tmp_path / "set"), "--unlabeled", "0.75"]) == 0
    assert "100 samples (test 15, train 20, unlabeled 60, val 5) of 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--unlabeled", "1"], "a classifier needs training digits, however: unlabeled=1.0"),
        (["--n-digits", "0"], "n_digits must be a positive integer, however: n_digits=0"),
        (["--textures", "moon_landing"], "textures must be of"),
        (["--images", "absent"], "no IDX file at absent"),
    ],
)
def test_faults_are_one_line(files, tmp_path, capsys, words, match):
    assert main(["polymnist", *files, "--output", str(tmp_path / "set"), *words]) == 2
    error = capsys.readouterr().err
    assert match in error
    assert error.count("\n") == 1
    assert not (tmp_path / "set" / "polymnist.json").exists()


def accuracy(path, value):
    table = pd.DataFrame({"pattern": ["eta 0.8"], "strategy": ["greedy"], "accuracy": [value], "difference": [np.nan]})
    table.to_csv(path, index=False)
    return str(path)


def test_seeds_are_summarized(tmp_path, capsys):
    one, two = accuracy(tmp_path / "1.csv", 0.5), accuracy(tmp_path / "2.csv", 0.7)
    published = tmp_path / "published.csv"
    published.write_text("model,pattern,strategy,published\ncosine,eta 0.8,greedy,0.945\n")
    words = ["--published", str(published), "--output", str(tmp_path / "all.csv")]
    assert main(["summarize-seeds", "--model", "cosine", one, two, *words]) == 0
    assert pd.read_csv(tmp_path / "all.csv").loc[0, ["n_seeds", "accuracy", "published"]].tolist() == [2, 0.6, 0.945]
    text = capsys.readouterr().out
    assert "94.50" in text
    assert (tmp_path / "all.txt").read_text() == text


def test_model_named_twice_is_refused(tmp_path, capsys):
    one = accuracy(tmp_path / "1.csv", 0.5)
    words = ["--model", "a", one, "--model", "a", one, "--output", str(tmp_path / "all.csv")]
    assert main(["summarize-seeds", *words]) == 2
    assert "a model must be named once, however: ['a', 'a']" in capsys.readouterr().err
