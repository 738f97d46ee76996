"""Runs in an SQLite store of MLflow: one for each bundle run, its status true to what happened."""

import json
import logging
import subprocess
import sys

import pandas as pd
import pytest
import torch
from ignite.engine import Engine, Events

from dymo_med.handlers import MLflowMetrics, MLflowRun, mlflow_run
from dymo_med.tracking import read_entries
from dymo_med.utils import read_json, save_weights, sha256_of
from tests.tracking.stores import SendsAtTheEnd, client, runs_in

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def store(tmp_path, copy_store, monkeypatch):
    """Folder of a store; runs write their outputs to ``store / "train"``."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(mlflow_run, "start_sender", SendsAtTheEnd)
    return copy_store(tmp_path / "eval")


def runs(store):
    return runs_in(f"sqlite:///{store / 'mlflow.db'}")


def run_of(store, **options):
    return MLflowRun(store / "train", "heart", "train", **options)


def engine_with(*handlers, outputs=lambda _, batch: {"loss": torch.tensor(batch)}):
    engine = Engine(outputs)
    for handler in handlers:
        handler.attach(engine)
    return engine


def history(store, run, name):
    (found,) = [each for each in runs(store) if each.data.tags["dymo_med.run"] == run.key]
    points = client(f"sqlite:///{store / 'mlflow.db'}").get_metric_history(found.info.run_id, name)
    return [(metric.step, metric.value) for metric in points]


def test_name_params_and_tags(store):
    params = {"seed": 7, "sizes": {"dim": 8, "layers": [1, 2], "inner": {"x": None}}}
    run = run_of(store, params=params, tags={"data_kind": "simulated", "n_processes": 1}, about="Training.")
    engine_with(run).run([1.0])
    run.finish()
    (found,) = runs(store)
    assert found.info.run_name == f"train {run.key[:6]}"
    assert found.data.params == {"seed": "7", "sizes.dim": "8", "sizes.layers": "[1, 2]", "sizes.inner.x": "None"}
    tags = found.data.tags
    assert (tags["data_kind"], tags["n_processes"], tags["dymo_med.run"]) == ("simulated", "1", run.key)
    assert tags["version.torch"] == torch.__version__
    assert tags["mlflow.source.name"] == "dymo_med train"
    assert tags["mlflow.note.content"].startswith("Training.\n")
    assert "code.commit" in tags


def test_every_bundle_run_is_a_run_of_its_own(store):
    for _ in range(2):
        run = run_of(store)
        engine_with(run).run([1.0])
        run.finish()
    found = runs(store)
    assert [each.info.status for each in found] == ["FINISHED"] * 2
    assert len({each.data.tags["dymo_med.run"] for each in found}) == 2


def test_run_that_nobody_finishes_is_failed_when_the_process_ends(store, monkeypatch):
    run = run_of(store)
    engine_with(run).run([1.0])
    assert [entry["kind"] for entry in read_entries(run.folder)] == ["start"]
    monkeypatch.delattr(sys, "last_type", raising=False)
    run._end_unfinished()
    (found,) = runs(store)
    assert (found.info.status, found.data.tags["failure"]) == ("FAILED", "the process ended without finish")


@pytest.mark.parametrize("event", [Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED, Events.COMPLETED])
@pytest.mark.parametrize(
    ("error", "status"), [(ZeroDivisionError("path /a/b"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_error_ends_the_run_and_goes_on_to_the_caller(store, event, error, status):
    def explode(_):
        raise error

    engine = engine_with(run_of(store))
    engine.add_event_handler(event, explode)
    with pytest.raises(type(error)):
        engine.run([1.0])
    (found,) = runs(store)
    assert (found.info.status, found.data.tags["failure"]) == (status, type(error).__name__)


def test_ended_run_takes_nothing_more(store):
    run = run_of(store)
    run.log_metrics({"auroc": 0.5})
    run.finish()
    line = f"a run takes nothing after its end, however: train {run.key[:6]} has ended"
    for use in (lambda: run.log_metrics({"auroc": 0.5}), run.finish):
        with pytest.raises(RuntimeError, match=line):
            use()


@pytest.mark.parametrize(
    "value", ["/data/cohort", "~/data", "../cohort", "a/b/c", "models/tip.pt", ["/data/x"], r"C:\data", "see /tmp/x"]
)
def test_paths_are_refused(store, value):
    for given in ({"params": {"sizes": {"where": value}}}, {"tags": {"sizes.where": value}}):
        with pytest.raises(ValueError, match=r"must not hold paths, however: sizes.where has \d+ characters"):
            run_of(store, **given)


@pytest.mark.parametrize("value", [1e-3, "n/a", [0.5, 1.0], "cuda:0", "no infarction; infarction", None, "mg/dl"])
def test_values_are_no_paths(store, value):
    assert run_of(store, params={"x": value}).params == {"x": str(value)}


def test_environment_names_the_store_and_an_argument_goes_before_it(store, tmp_path, copy_store, monkeypatch):
    first, second = (copy_store(tmp_path / name) for name in ("first", "second"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{first / 'mlflow.db'}")
    for options in ({}, {"tracking_uri": f"sqlite:///{second / 'mlflow.db'}"}):
        run = run_of(store, **options)
        run.log_metrics({"a": 1.0})
        run.finish()
    assert [len(runs(each)) for each in (store, first, second)] == [0, 1, 1]


def test_other_processes_of_a_training_are_silent(store, monkeypatch):
    monkeypatch.setattr(mlflow_run, "process_rank", lambda: 1)
    run = run_of(store)
    engine_with(run, MLflowMetrics(run)).run([1.0])
    run.log_table("comparison", pd.DataFrame({"a": [1]}))
    run.log_file(store / "absent.csv")
    run.log_model(store / "absent", "heart")
    run.log_child("greedy", {}, {})
    run.log_tags({"a": 1})
    run.record_weights(store / "absent.pt")
    run.finish()
    assert not (store / "train").exists()


def test_mean_loss_and_metrics_of_every_epoch(store):
    run = run_of(store)
    engine = engine_with(run, MLflowMetrics(run, prefix="train/"))

    @engine.on(Events.EPOCH_STARTED)
    def measure(engine):
        engine.state.metrics.update(val_auroc=engine.state.epoch / 4, table={"no": "number"})

    engine.run([1.0, 2.0, 6.0], max_epochs=2)
    run.finish()
    assert history(store, run, "train/loss") == [(1, 3.0), (2, 3.0)]
    assert history(store, run, "train/auroc") == [(1, 0.25), (2, 0.5)]
    assert set(runs(store)[0].data.metrics) == {"train/loss", "train/auroc"}


def test_scores_of_the_best_epoch_stand_beside_those_of_the_last(store):
    run = run_of(store)
    for epoch, auroc in enumerate((0.5, 0.75, 0.75, float("nan"), 0.25), start=1):
        run.log_metrics({"train/loss": 1 / epoch}, step=epoch)
        run.log_metrics({"validation/auroc": auroc, "validation/auprc": epoch / 10}, step=epoch)
    run.finish(best_of="validation/auroc")
    metrics = runs(store)[0].data.metrics
    assert (metrics["validation/auroc"], metrics["best/auroc"], metrics["best/auprc"]) == (0.25, 0.75, 0.2)
    assert (metrics["best/epoch"], metrics["best/loss"]) == (2, 0.5)


def test_run_without_the_metric_has_no_best_epoch(store):
    run = run_of(store)
    run.log_metrics({"train/loss": 1.0}, step=1)
    run.finish(best_of="validation/auroc")
    assert set(runs(store)[0].data.metrics) == {"train/loss"}


def test_loss_with_a_gradient_and_without_a_loss(store):
    run = run_of(store)
    weight = torch.ones((), requires_grad=True)
    engine_with(run, MLflowMetrics(run), outputs=lambda _, batch: {"loss": weight * batch}).run([2.0])
    engine_with(MLflowMetrics(run, "validation/"), outputs=lambda *_: {}).run([2.0])
    run.finish()
    assert runs(store)[0].data.metrics == {"loss": 2.0}


def test_table_becomes_metrics_and_an_artifact(store):
    run = run_of(store)
    table = pd.DataFrame(
        {"pattern": ["all (hidden)", "none"], "strategy": ["greedy", "discard"], "auroc": [0.75, float("nan")]}
    )
    run.log_table("comparison", table, by=["pattern", "strategy"], values=["auroc"])
    run.finish()
    (found,) = runs(store)
    assert found.data.metrics == {"comparison all _hidden_/auroc greedy": 0.75}
    artifacts = store / "mlflow-files" / found.info.run_id / "artifacts"
    pd.testing.assert_frame_equal(
        pd.read_csv(artifacts / "comparison.csv", keep_default_na=False, na_values=[""]), table
    )


def test_file_is_kept_as_it_was_logged(store, tmp_path):
    run, report = run_of(store), tmp_path / "report.txt"
    report.write_text("first")
    run.log_file(report)
    report.write_text("second")
    run.finish()
    (found,) = runs(store)
    assert (store / "mlflow-files" / found.info.run_id / "artifacts" / "report.txt").read_text() == "first"


def test_weights_lead_to_the_run_that_made_them(store, tmp_path):
    weights, other = tmp_path / "models" / "model.pt", tmp_path / "models" / "tip.pt"
    for path in (weights, other):
        save_weights(path, {"made": path.name})
    maker = run_of(store, tags={"cohort_digest": "cd" * 32})
    maker.record_weights(weights)
    maker.finish()
    user = MLflowRun(
        store / "inference", "heart", "inference", weights={"classifier": weights, "recovery": other, "none": None}
    )
    user.begin()
    user.finish()
    tags = runs(store)[1].data.tags
    assert tags["weights.classifier.run"] == maker.key
    assert tags["weights.classifier.cohort_digest"] == "cd" * 32
    assert tags["weights.classifier.sha256"] == sha256_of(weights) == runs(store)[0].data.tags["made.model.sha256"]
    assert tags["weights.recovery.record"] == "none beside the weights"
    assert f"made by run [train {maker.key[:6]}](#/experiments/" in tags["mlflow.note.content"]
    summary = read_json(store / "inference" / "run.json")
    assert summary["run"] == user.key
    assert summary["tags"]["weights.classifier.run"] == maker.key


def test_weights_that_are_absent_stop_the_run_before_the_first_step(store):
    run = run_of(store, weights={"classifier": store / "absent.pt"})
    with pytest.raises(FileNotFoundError, match=r"no weights at .*absent.pt"):
        engine_with(run).run([1.0])
    assert not (store / "train").exists()


def killed(store, extra, epoch):
    """A run that is killed in an epoch, as its journal shows it to the next process."""
    run = run_of(store, extra=extra)
    engine = engine_with(run, MLflowMetrics(run))
    run._fail = lambda *_: None
    engine.add_event_handler(Events.EPOCH_STARTED(once=epoch), engine.terminate)
    engine.run([1.0], max_epochs=epoch)
    run._journal.close()
    mlflow_run.atexit.unregister(run._end_unfinished)
    return run


def test_interrupted_run_goes_on_as_the_same_run(store):
    extra = {}
    first = killed(store, extra, epoch=2)
    assert extra == {"mlflow_run": first.key}
    second = run_of(store, extra=extra)
    engine = engine_with(second, MLflowMetrics(second))
    engine.state.epoch = 0
    engine.run([4.0], max_epochs=3)
    second.finish()
    (found,) = runs(store)
    assert (second.key, found.info.status) == (first.key, "FINISHED")
    steps = [step for step, _ in history(store, second, "loss")]
    assert steps == sorted(set(steps))  # what both saw stays as the first logged it
    assert dict(history(store, second, "loss"))[1] == 1.0
    assert max(steps) == 3


def test_run_that_is_gone_is_named_by_the_new_one(store):
    run = run_of(store, extra={"mlflow_run": "0" * 32})
    run.log_metrics({"a": 1.0})
    run.finish()
    (found,) = runs(store)
    assert found.data.tags["continues"] == "0" * 32
    assert run.extra["mlflow_run"] == run.key != "0" * 32


def test_finished_run_never_goes_on(store):
    first = run_of(store)
    first.begin()
    first.finish()
    with pytest.raises(
        RuntimeError, match=f"only an interrupted run can go on, however: run {first.key[:6]} is FINISHED"
    ):
        run_of(store).continue_run(first.key)


def test_run_that_has_begun_goes_on_with_no_other(store):
    run = run_of(store)
    run.begin()
    with pytest.raises(RuntimeError, match="a run is continued before it begins, however: train"):
        run.continue_run("0" * 32)
    run.finish()


def test_nested_run_has_what_its_parent_has_and_its_own(store):
    run = run_of(store, params={"seed": 7, "strategy": "all"}, tags={"data_kind": "simulated"}, about="A sweep.")
    run.log_child(
        "greedy", {"strategy": "greedy"}, {0: {"auroc": 0.75}, 50: {"auroc": float("nan")}}, tags={"kind": "child"},
        about="One strategy.",
    )  # fmt: skip
    run.log_child("discard", {"strategy": "discard"}, {})
    run.finish()
    parent, greedy, discard = runs(store)
    assert {greedy.info.run_name, discard.info.run_name} == {f"{name} {run.key[:6]}" for name in ("greedy", "discard")}
    assert greedy.data.params == {"seed": "7", "strategy": "greedy"}
    assert (greedy.data.tags["data_kind"], greedy.data.tags["kind"]) == ("simulated", "child")
    assert "kind" not in discard.data.tags
    assert greedy.data.tags["mlflow.note.content"].startswith("One strategy.\n")
    assert greedy.data.tags["mlflow.parentRunId"] == discard.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert greedy.data.tags["code.commit"] == parent.data.tags["code.commit"]
    points = client(f"sqlite:///{store / 'mlflow.db'}").get_metric_history(greedy.info.run_id, "auroc")
    assert [(point.step, str(point.value)) for point in points] == [(0, "0.75"), (50, "nan")]


def test_nested_runs_and_late_tags_hold_no_paths(store):
    run = run_of(store)
    for use in (
        lambda: run.log_child("a", {"where": "/data/x"}, {}),
        lambda: run.log_child("a", {}, {}, tags={"where": "/data/x"}),
        lambda: run.log_tags({"where": "/data/x"}),
    ):
        with pytest.raises(ValueError, match="must not hold paths, however: where has 7 characters"):
            use()
    run.log_tags({"n_rates": 7})
    run.finish()
    assert runs(store)[0].data.tags["n_rates"] == "7"


def interrupted(store, **options):
    run = run_of(store, goes_on=True, **options)
    run.log_metrics({"auto/auroc": 0.5})
    run.log_child("greedy", {}, {0: {"auroc": 0.75}})
    run._end_unfinished()
    return run


def test_interrupted_run_goes_on_from_its_output_folder(store):
    first = interrupted(store, params={"seed": 7})
    second = run_of(store, goes_on=True, params={"seed": 7})
    second.log_metrics({"auto/auroc": 0.5, "auto/brier": 0.25})
    for name in ("greedy", "discard"):
        second.log_child(name, {}, {0: {"auroc": 0.75}})
    second.finish()
    parent, *children = runs(store)
    assert second.key == first.key
    assert (parent.info.status, len(children)) == ("FINISHED", 2)
    assert history(store, second, "auto/auroc") == [(0, 0.5)]


@pytest.mark.parametrize("change", [{"params": {"seed": 8}}, {"tags": {"device": "cuda"}}, {"goes_on": False}])
def test_run_that_does_something_else_is_a_new_one(store, change):
    first = interrupted(store, params={"seed": 7}, tags={"device": "cpu"})
    second = run_of(store, **{"goes_on": True, "params": {"seed": 7}, "tags": {"device": "cpu"}} | change)
    second.begin()
    second.finish()
    assert second.key != first.key
    assert len(runs(store)) == 3


def test_run_with_other_weights_is_a_new_one(store, tmp_path):
    weights = tmp_path / "model.pt"
    save_weights(weights, {"made": "first"})
    first = interrupted(store, weights={"classifier": weights})
    save_weights(weights, {"made": "second"})
    second = run_of(store, goes_on=True, weights={"classifier": weights})
    second.begin()
    second.finish()
    assert second.key != first.key


def test_finished_run_is_followed_by_a_new_one(store):
    for _ in range(2):
        run = run_of(store, goes_on=True)
        run.begin()
        run.finish()
    assert [each.info.status for each in runs(store)] == ["FINISHED"] * 2


class NeverSends:
    """A sending process that a store keeps for ever."""

    def __init__(self, *_, **__):
        self.killed = False

    def wait(self, timeout=None):
        if not self.killed:
            raise subprocess.TimeoutExpired("sender", timeout)

    def kill(self):
        self.killed = True


def test_end_waits_for_a_store_so_long_and_no_longer(store, monkeypatch, caplog):
    monkeypatch.setattr(mlflow_run, "start_sender", NeverSends)
    run = run_of(store)
    run.log_metrics({"a": 1.0})
    sender = run._sender
    with caplog.at_level(logging.WARNING):
        run.finish()
    assert sender.killed
    assert f"send it later with 'dymo-med send-runs {store / 'train'}'" in caplog.text
    assert [entry["kind"] for entry in read_entries(run.folder)] == ["start", "metrics", "end"]


def test_address_in_the_journal_has_no_password(store, monkeypatch):
    monkeypatch.setattr(mlflow_run, "start_sender", NeverSends)
    run = run_of(store, tracking_uri="http://ann:secret@127.0.0.1:1")
    run.begin()
    assert read_entries(run.folder)[0]["uri"] == "http://127.0.0.1:1"
    assert "secret" not in json.dumps(read_entries(run.folder))
    run._journal.close()
    mlflow_run.atexit.unregister(run._end_unfinished)
