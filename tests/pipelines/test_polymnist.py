"""The workflow on five pictures: a dry run of the full form, the short form to its table."""

import csv
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.data.polymnist.build import IMAGES, MNIST

pytest.importorskip("snakemake")
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "pipelines" / "polymnist"
needs_mnist = pytest.mark.skipif(not IMAGES.is_file(), reason="MNIST's files are not here")


def snakemake(directory, *words):
    command = [sys.executable, "-m", "snakemake", "--snakefile", FOLDER / "Snakefile", "--directory", directory]
    return subprocess.run(
        [*map(str, command), "--cores", "2", *map(str, words)], capture_output=True, text=True, check=False, timeout=560
    )


@needs_mnist
def test_full_form_has_every_step(tmp_path):
    found = snakemake(tmp_path, "--dry-run", "--quiet", "rules", "--config", f"mnist={MNIST}")
    assert found.returncode == 0, found.stderr
    found = snakemake(tmp_path, "--dry-run", "--config", f"mnist={MNIST}")
    counts = dict(line.split() for line in found.stdout.splitlines() if len(line.split()) == 2 and line[-1].isdigit())
    expected = {"data": 3, "vae": 3, "classifier": 9, "evaluate": 9, "summary": 1, "all": 1, "total": 26}
    assert {name: int(counts[name]) for name in expected} == expected


@pytest.mark.parametrize("setting", ["seeds=[]", "n_digits=10", "colour=red"])
def test_settings_that_make_no_sense_are_refused(tmp_path, setting):
    found = snakemake(tmp_path, "--dry-run", "--config", setting)
    assert found.returncode != 0
    assert setting.split("=")[0] in found.stderr + found.stdout


def test_short_form_changes_settings_that_exist():
    full, short = (yaml.safe_load((FOLDER / name).read_text()) for name in ("config.yaml", "short.yaml"))
    assert set(short) <= set(full)
    assert len(full["seeds"]) >= 3


def test_published_figures_are_those_of_the_paper():
    with (FOLDER / "published.csv").open(encoding="utf-8") as file:
        rows = {(row["model"], row["strategy"]): float(row["published"]) for row in csv.DictReader(file)}
    assert rows == {
        ("cosine", "fuse_all"): 0.8421,
        ("cosine", "simultaneous"): 0.9433,
        ("cosine", "greedy"): 0.9450,
        ("cosine", "greedy_ics"): 0.9661,
        ("squared_euclidean", "greedy_ics"): 0.9681,
        ("moddrop", "moddrop"): 0.8844,
    }


@needs_mnist
@pytest.mark.slow
def test_short_form_prints_the_table_and_costs_nothing_again(tmp_path):
    words = ["--configfile", FOLDER / "short.yaml", "--config", f"mnist={MNIST}", "output=out"]
    found = snakemake(tmp_path, *words)
    assert found.returncode == 0, found.stderr[-3000:]
    for text in ("greedy_ics", "moddrop", "96.61", "What differs here"):
        assert text in found.stdout
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert len(summary) == 2 * 5 * 6 + 6
    assert summary["n_seeds"].unique().tolist() == [1]
    assert summary["published"].notna().sum() == 6
    again = snakemake(tmp_path, *words)
    assert "Nothing to be done" in again.stdout + again.stderr
