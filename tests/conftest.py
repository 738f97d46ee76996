"""What all tests share: one thread, simulated cohorts as the command line prepares them, an empty MLflow store."""

import shutil

import pytest
import torch

from dymo_med.cli import main
from dymo_med.data.cohort import Cohort

SIZE = ("--n-slices", "3", "--n-frames", "8", "--rows", "48", "--columns", "48")
IMAGE = ("--image-size", "32", "--image-spacing", "4", "--data-kind", "simulated")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory):
    """Downloads and cohorts; the key is fixed, so that pseudonyms and splits are the same in every session."""
    folder = tmp_path_factory.mktemp("phantom")
    key = folder / "keys" / "key"
    key.parent.mkdir()
    key.write_text("5a" * 32 + "\n")
    key.chmod(0o600)
    return folder


@pytest.fixture(scope="session")
def phantom_cohort(phantom_folder):
    """28 simulated subjects; every split has both classes of the task "cad"."""
    return _synth_and_prepare(phantom_folder, "first", ("--n-subjects", "28", "--seed", "1"))


@pytest.fixture(scope="session")
def phantom_cohort_with_faults(phantom_folder, phantom_cohort):
    """16 new subjects under the schema of the first cohort, one for every fault, some without a table."""
    words = ("--n-subjects", "16", "--seed", "2", "--table-absent-rate", "0.3", "--faults")
    return _synth_and_prepare(phantom_folder, "new", words, ("--schema", str(phantom_cohort.folder)))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An SQLite store of MLflow without a run: making the tables takes seconds, a copy does not."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def copy_store(empty_store):
    """A function that puts an empty store where a run whose outputs go to ``folder / name`` will look for it."""

    def copy(folder):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_store, folder / "mlflow.db")
        return folder

    return copy


def _synth_and_prepare(folder, name, synth_words, prepare_words=()):
    download, cohort = folder / f"{name}_download", folder / f"{name}_cohort"
    assert main(["synth", "--output", str(download), *synth_words, *SIZE]) == 0
    tables, images = download / "participants.csv", download / "imaging"
    words = ["prepare", "--tables", str(tables), "--images", str(images), "--output", str(cohort)]
    assert main([*words, "--key-file", str(folder / "keys" / "key"), *IMAGE, *prepare_words]) == 0
    return Cohort(cohort)
