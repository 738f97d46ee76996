"""Runs in an SQLite store of MLflow: one for each engine run, its status true to what happened."""

import pytest
import torch
from ignite.engine import Engine, Events

from dymo_med.handlers import MLflowMetrics, MLflowRun

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def store(tmp_path, copy_store, monkeypatch):
    """Folder of a store; runs write their outputs to ``store / "train"``."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return copy_store(tmp_path / "eval")


def client(path):
    import mlflow

    return mlflow.MlflowClient(f"sqlite:///{path}")


def runs(path, experiment="heart"):
    found = client(path).get_experiment_by_name(experiment)
    return client(path).search_runs([found.experiment_id]) if found else []


def run_of(store, **options):
    return MLflowRun(store / "train", "heart", "train", **options)


def engine_with(*handlers, outputs=lambda _, batch: {"loss": torch.tensor(batch)}):
    engine = Engine(outputs)
    for handler in handlers:
        handler.attach(engine)
    return engine


def test_default_store_lies_beside_the_outputs(tmp_path, monkeypatch):
    """The one test that lets MLflow make its tables."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = MLflowRun(tmp_path / "eval" / "train", "heart", "train")
    engine_with(run).run([1.0])
    (tmp_path / "report.csv").write_text("a,b\n")
    run.log_file(tmp_path / "report.csv")
    assert sorted(path.name for path in (tmp_path / "eval").iterdir()) == ["mlflow-files", "mlflow.db"]
    assert (tmp_path / "eval" / "mlflow-files" / run.run_id / "artifacts" / "report.csv").read_text() == "a,b\n"
    assert [found.info.run_id for found in runs(tmp_path / "eval" / "mlflow.db")] == [run.run_id]


def test_name_params_and_tags(store):
    params = {"seed": 7, "sizes": {"dim": 8, "layers": [1, 2], "inner": {"x": None}}, "long": "a" * 7000}
    run = run_of(store, params=params, tags={"data_kind": "simulated"})
    engine_with(run).run([1.0])
    (found,) = runs(store / "mlflow.db")
    assert found.info.run_name == "train"
    expected = {"seed": "7", "sizes.dim": "8", "sizes.layers": "[1, 2]", "sizes.inner.x": "None", "long": "a" * 6000}
    assert found.data.params == expected
    assert found.data.tags["data_kind"] == "simulated"


def test_every_engine_run_is_a_run_of_its_own(store):
    first, second = run_of(store), run_of(store)
    engine_with(first).run([1.0])
    engine_with(second).run([1.0])
    assert first.run_id != second.run_id
    assert [found.info.status for found in runs(store / "mlflow.db")] == ["FINISHED"] * 2


def test_run_that_goes_on_is_running(store):
    run, seen = run_of(store), []
    engine = engine_with(run)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: seen.append(runs(store / "mlflow.db")[0].info.status))
    engine.run([1.0])
    assert seen == ["RUNNING"]


def test_early_stop_is_finished(store):
    engine = engine_with(run_of(store))
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: engine.terminate())
    engine.run([1.0], max_epochs=5)
    assert engine.state.epoch == 1
    assert [found.info.status for found in runs(store / "mlflow.db")] == ["FINISHED"]


@pytest.mark.parametrize("event", [Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED, Events.COMPLETED])
def test_error_is_failed_and_goes_on_to_the_caller(store, event):
    def explode(_):
        raise ZeroDivisionError("no such thing")

    engine = engine_with(run_of(store))
    engine.add_event_handler(event, explode)
    with pytest.raises(ZeroDivisionError, match="no such thing"):
        engine.run([1.0])
    assert [found.info.status for found in runs(store / "mlflow.db")] == ["FAILED"]


def test_store_that_cannot_be_opened_raises_its_own_error(store):
    (store / "mlflow.db").write_text("no database " * 100)
    run = run_of(store)
    with pytest.raises(Exception, match="file is not a database"):
        engine_with(run).run([1.0])
    assert run.run_id is None


def test_use_before_the_start_is_refused(store):
    run = run_of(store)
    line = "MLflow run 'train' has not started: attach it to the engine that runs first"
    for use in (lambda: run.log_metrics({"auroc": 0.5}), lambda: run.log_file(store / "a.csv")):
        with pytest.raises(RuntimeError, match=line):
            use()


def test_environment_names_the_store(store, tmp_path, copy_store, monkeypatch):
    elsewhere = copy_store(tmp_path / "elsewhere") / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}")
    engine_with(run_of(store)).run([1.0])
    assert (len(runs(elsewhere)), len(runs(store / "mlflow.db"))) == (1, 0)


def test_argument_goes_before_the_environment(store, tmp_path, copy_store, monkeypatch):
    elsewhere = copy_store(tmp_path / "elsewhere") / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////no/such/folder/mlflow.db")
    engine_with(run_of(store, tracking_uri=f"sqlite:///{elsewhere}")).run([1.0])
    assert len(runs(elsewhere)) == 1


def history(store, run, name):
    return [(metric.step, metric.value) for metric in client(store / "mlflow.db").get_metric_history(run.run_id, name)]


def test_mean_loss_and_metrics_of_every_epoch(store):
    run = run_of(store)
    engine = engine_with(run, MLflowMetrics(run, prefix="train/"))

    @engine.on(Events.EPOCH_STARTED)
    def measure(engine):
        engine.state.metrics.update(auroc=engine.state.epoch / 4, table={"no": "number"})

    engine.run([1.0, 2.0, 6.0], max_epochs=2)
    assert history(store, run, "train/loss") == [(1, 3.0), (2, 3.0)]
    assert history(store, run, "train/auroc") == [(1, 0.25), (2, 0.5)]
    assert set(runs(store / "mlflow.db")[0].data.metrics) == {"train/loss", "train/auroc"}


def test_loss_with_a_gradient_is_logged_without_a_warning(store):
    run = run_of(store)
    weight = torch.ones((), requires_grad=True)
    engine_with(run, MLflowMetrics(run), outputs=lambda _, batch: {"loss": weight * batch}).run([2.0])
    assert history(store, run, "loss") == [(1, 2.0)]


def test_evaluator_without_loss_logs_at_the_epoch_of_training(store):
    run = run_of(store)
    trainer, evaluator = engine_with(run), engine_with(MLflowMetrics(run, "validation/"), outputs=lambda *_: {})

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate(trainer):
        evaluator.state.epoch = trainer.state.epoch - 1
        evaluator.state.metrics = {"auroc": 0.5 * trainer.state.epoch}
        evaluator.run([1.0], max_epochs=trainer.state.epoch)

    trainer.run([1.0], max_epochs=2)
    assert history(store, run, "validation/auroc") == [(1, 0.5), (2, 1.0)]
    assert history(store, run, "validation/loss") == []
