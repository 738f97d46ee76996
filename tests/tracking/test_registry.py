"""Packaged models in the registry: one version for a run, however often it is sent."""

import pytest

from dymo_med.tracking import send_journal
from dymo_med.utils import read_json, sha256_of, write_json
from tests.tracking.journals import KEY, start
from tests.tracking.stores import client, runs_in

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def uri(tmp_path, copy_store):
    return f"sqlite:///{copy_store(tmp_path / 'eval') / 'mlflow.db'}"


def run_with_model(tmp_path, key=KEY):
    """Journal of a run that logs a model, then a metric."""
    model = tmp_path / "eval" / "evaluate" / "model"
    (model / "artifacts").mkdir(parents=True, exist_ok=True)
    (model / "MLmodel").write_text("flavors: {}\n")
    (model / "artifacts" / "settings.json").write_text("{}\n")
    folder = tmp_path / "eval" / "evaluate" / "tracking" / key
    writer = start(folder, key=key)
    texts = {"about": "A classifier.", "description": "Simulated data."}
    writer.write(
        "model", name="heart", folder="../../model", digest=sha256_of(model / "MLmodel"), tags={"a": "1"}, **texts
    )
    writer.write("metrics", step=0, values={"comparison/auroc": 0.75})
    writer.write("end", status="FINISHED", reason="")
    writer.close()
    return folder


def versions(uri):
    return sorted(client(uri).search_model_versions("name = 'heart'"), key=lambda version: int(version.version))


def test_model_is_registered_with_its_run_and_its_scores(tmp_path, uri):
    send_journal(run_with_model(tmp_path), uri)
    (run,), (version,) = runs_in(uri), versions(uri)
    assert (int(version.version), version.run_id, version.status) == (1, run.info.run_id, "READY")
    model_id = version.tags["dymo_med.model"]
    assert (version.description.splitlines()[:3], version.tags["a"]) == (
        ["Simulated data.", "", "Training of the heart."],
        "1",
    )
    assert client(uri).get_registered_model("heart").description == "A classifier."
    model = client(uri).get_logged_model(model_id)
    assert (model.source_run_id, model.status.name) == (run.info.run_id, "READY")
    assert [(metric.key, metric.value) for metric in model.metrics] == [("comparison/auroc", 0.75)]
    assert [output.model_id for output in run.outputs.model_outputs] == [model_id]
    stored = tmp_path / "eval" / "mlflow-files" / "models" / model_id / "artifacts"
    assert sorted(path.name for path in stored.rglob("*")) == ["MLmodel", "artifacts", "settings.json"]


def test_model_is_registered_once_for_a_run_and_once_for_each_run(tmp_path, uri):
    folder = run_with_model(tmp_path)
    send_journal(folder, uri)
    write_json(folder / "sent.json", read_json(folder / "sent.json") | {"journal.jsonl": 1})
    send_journal(folder, uri)
    assert len(versions(uri)) == 1
    assert read_json(folder / "sent.json")["model_id"] == versions(uri)[0].tags["dymo_med.model"]
    send_journal(run_with_model(tmp_path, key="7b" * 16), uri)
    assert [int(version.version) for version in versions(uri)] == [1, 2]


@pytest.mark.parametrize("fate", ["changed", "gone"])
def test_model_that_is_another_by_now_is_not_registered_and_the_run_goes_on(tmp_path, uri, caplog, fate):
    folder = run_with_model(tmp_path)
    about = tmp_path / "eval" / "evaluate" / "model" / "MLmodel"
    about.unlink() if fate == "gone" else about.write_text("flavors: {other: 1}\n")
    send_journal(folder, uri)
    assert versions(uri) == []
    assert read_json(folder / "sent.json")["refused"] == ["model"]
    assert "a model must be sent as it was packaged, however: MLmodel of model has digest" in caplog.text
    assert runs_in(uri)[0].info.status == "FINISHED"
