"""Stores: addresses, telemetry, and tables that many processes want at once."""

import multiprocessing
import os
import sys

import pytest

from dymo_med.tracking import connect, default_store, disable_telemetry, without_credentials
from dymo_med.tracking.store import experiment_of
from tests.tracking.stores import client

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def test_default_store_lies_beside_the_outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_store("eval/train") == f"sqlite:///{tmp_path}/eval/mlflow.db"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://ann:secret@host:5000/x", "http://host:5000/x"),
        ("https://token@host", "https://host"),
        ("http://host/a@b", "http://host/a@b"),
        ("sqlite:////runs/mlflow.db", "sqlite:////runs/mlflow.db"),
    ],
)
def test_address_is_shown_without_credentials(uri, shown):
    assert without_credentials(uri) == shown


def test_telemetry_is_off_even_where_mlflow_was_imported_before(monkeypatch):
    import mlflow
    from mlflow.telemetry import get_telemetry_client

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    assert "mlflow" in sys.modules
    disable_telemetry()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert get_telemetry_client() is None
    assert mlflow.telemetry is not None


def test_experiment_is_made_once_and_found_again(tmp_path, copy_store):
    uri = f"sqlite:///{copy_store(tmp_path) / 'mlflow.db'}"
    found = connect(uri)
    assert experiment_of(found, uri, "heart") == experiment_of(found, uri, "heart")
    assert found.get_experiment_by_name("heart").artifact_location == (tmp_path / "mlflow-files").as_uri()


def _open(uri, answers):
    answers.put(experiment_of(connect(uri), uri, "heart"))


def test_four_processes_open_a_fresh_store_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    answers, uri = context.Queue(), f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    processes = [context.Process(target=_open, args=(uri, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    found = {answers.get(timeout=200) for _ in processes}
    for process in processes:
        process.join()
    assert len(found) == 1
    assert [experiment.name for experiment in client(uri).search_experiments(order_by=["name"])] == ["Default", "heart"]
