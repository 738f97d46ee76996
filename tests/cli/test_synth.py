"""The simulated download, by the command."""

import pandas as pd

from dymo_med.cli import main


def test_options_reach_the_phantom(download):
    truth = pd.read_csv(download / "truth.csv")
    assert len(truth) == 24
    assert truth["fault"].notna().any()
    n_images = len(list((download / "imaging").rglob("*.zip")))
    assert 0 < n_images < 24


def test_a_closing_line_and_refusals(tmp_path, capsys):
    small = ["--n-slices", "1", "--n-frames", "6", "--rows", "32", "--columns", "32"]
    words = ["synth", "--output", str(tmp_path / "download"), "--n-subjects", "2", *small]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("2 simulated subjects in ")
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("dymo-med: error: ")
