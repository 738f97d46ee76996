"""A sweep as runs of MLflow: tables and figures on the parent, one child a strategy, small counts withheld."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dymo_med.data.cohort import Cohort
from dymo_med.evaluation.report.sweep_page import write_report
from dymo_med.evaluation.report.sweep_results import SweepResults
from dymo_med.evaluation.report.sweep_runs import exported_tables, log_sweep
from dymo_med.handlers import MLflowRun, mlflow_run
from dymo_med.inferers import Policy
from dymo_med.tracking import Sender
from dymo_med.utils import read_json, write_json
from tests.evaluation.report.handmade import make
from tests.privacy.reading import told_by
from tests.tracking.stores import SendsAtTheEnd, client, runs_in, table_of

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

POLICIES = {
    "discard": Policy("discard"),
    "fuse_all": Policy("fuse_all"),
    "greedy": Policy("greedy"),
    "auto": Policy("greedy", "ratio", {"image whole, table absent": 0.1, "otherwise": float("-inf")}),
}
TABLES = {"sweep", "figures", "calibration", "fusions", "regret", "rewards", "references", "subgroups"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished sweep with its export form."""
    root = make(tmp_path_factory.mktemp("made"), n_seeds=2)
    folder = root / "bundle" / "eval" / "sweep"
    path = folder / "test" / "sweep.json"
    write_json(path, read_json(path) | {"policies": {name: each.to_record() for name, each in POLICIES.items()}})
    write_report(folder, root / "cohort", folder / "export" / "report.html", is_export=True)
    return root


@pytest.fixture
def results(made):
    return SweepResults(made / "bundle" / "eval" / "sweep", Cohort(made / "cohort"), made / "bundle" / "models")


@pytest.fixture
def uri(tmp_path, copy_store, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(mlflow_run, "start_sender", SendsAtTheEnd)
    return f"sqlite:///{copy_store(tmp_path / 'eval') / 'mlflow.db'}"


def run_of(tmp_path):
    options = {"params": {"task": "cad", "seed": 7}, "tags": {"data_kind": "simulated"}, "goes_on": True}
    return MLflowRun(tmp_path / "eval" / "sweep", "heart", "sweep cad", **options)


def logged(run, results):
    log_sweep(run, results, results.folder / "export" / "figures")
    run.finish()
    return run


def history(uri, run, name):
    return {metric.step: metric.value for metric in client(uri).get_metric_history(run.info.run_id, name)}


def test_every_strategy_is_a_run_nested_in_that_of_the_sweep(tmp_path, uri, results):
    run = logged(run_of(tmp_path), results)
    parent, *children = runs_in(uri)
    digits = run.key[:6]
    assert parent.info.run_name == f"sweep cad {digits}"
    assert [child.info.run_name for child in children] == [f"{name} cad {digits}" for name in POLICIES]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert "mlflow.parentRunId" not in parent.data.tags
    assert {each.info.status for each in (parent, *children)} == {"FINISHED"}
    assert children[3].data.params == {
        "task": "cad", "seed": "7", "policy": "auto", "recovery": "means", "strategy": "greedy", "ics_weight": "ratio",
        "threshold": "image whole, table absent: 0.1; otherwise: -inf",
    }  # fmt: skip
    assert children[0].data.params["threshold"] == "0.0"
    patterns = "hidden on purpose: random value, whole table; 0, 100 %; 2 draws"
    assert {each.data.tags["missing_patterns"] for each in (parent, *children)} == {patterns}
    assert {each.data.tags["data_kind"] for each in (parent, *children)} == {"simulated"}


def test_metrics_of_a_child_are_the_figures_of_its_strategy_by_missing_rate(tmp_path, uri, results):
    logged(run_of(tmp_path), results)
    auto = runs_in(uri)[4]
    own = results.tables["sweep"].query("strategy == 'auto' and mechanism == 'whole table'").set_index("rate")
    for name in ("auroc", "auroc_low", "auroc_high"):
        wanted = {round(100 * rate): value for rate, value in own[name].items()}
        assert history(uri, auto, f"whole table/{name}") == pytest.approx(wanted)
    for reference in ("discard", "fuse_all"):
        found = history(uri, auto, f"whole table/gain_over_{reference}")
        assert found[100] == pytest.approx(own.loc[1.0, f"over_{reference}"])
    regret = results.tables["regret"].query("strategy == 'auto' and mechanism == 'whole table' and rate == 1")
    assert history(uri, auto, "whole table/regret")[100] == pytest.approx(regret["regret"].item())
    figures = results.tables["figures"].query("strategy == 'auto'").set_index("figure")
    assert history(uri, auto, "nothing hidden/brier") == pytest.approx({0: figures.loc["brier", "value"]})
    assert history(uri, auto, "nothing hidden/brier_low") == pytest.approx({0: figures.loc["brier", "low"]})
    discard = runs_in(uri)[1]
    assert "whole table/gain_over_discard" not in discard.data.metrics  # of itself: undefined, not 0
    parent = runs_in(uri)[0]
    assert set(parent.data.metrics) == {"summary/auroc", "summary/auprc", "summary/brier"}
    assert parent.data.metrics["summary/auroc"] == auto.data.metrics["nothing hidden/auroc"]


def test_parent_holds_tables_figures_and_nothing_of_a_subject(tmp_path, uri, results, made):
    logged(run_of(tmp_path), results)
    parent, *children = runs_in(uri)
    sent = client(uri)
    kinds = {each.path for each in sent.list_artifacts(parent.info.run_id)}
    assert kinds == {f"{name}.{ending}" for name in TABLES for ending in ("csv", "json")} | {"figures"}
    figures = {each.path for each in sent.list_artifacts(parent.info.run_id, "figures")}
    assert {"figures/auroc_by_missing_rate.png", "figures/regret_by_missing_rate.png"} <= figures
    assert not any(sent.list_artifacts(child.info.run_id) for child in children)
    table = table_of(uri, parent, "sweep.json")
    assert set(table["strategy"]) == set(POLICIES)
    ids = list(Cohort(made / "cohort").subjects.index)
    assert told_by(tmp_path / "eval", set(), [*ids, str(made)]) == []


def test_a_sweep_that_goes_on_makes_no_child_twice(tmp_path, uri, results, monkeypatch):
    run = run_of(tmp_path)
    n_children = []

    def stop(*words, **options):
        if len(n_children) == 2:
            raise KeyboardInterrupt
        n_children.append(1)
        MLflowRun.log_child(run, *words, **options)

    monkeypatch.setattr(run, "log_child", stop)
    with pytest.raises(KeyboardInterrupt):
        logged(run, results)
    run._end_unfinished()
    assert [each.info.status for each in runs_in(uri)] == ["FAILED", "FINISHED", "FINISHED"]
    again = logged(run_of(tmp_path), results)
    assert again.key == run.key
    parent, *children = runs_in(uri)
    assert (parent.info.status, len(children)) == ("FINISHED", 4)
    assert "failure" not in parent.data.tags
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}


def test_few_requests_send_a_child(tmp_path, uri, results, monkeypatch):
    import mlflow

    seen = []
    for name in ("create_run", "search_runs", "log_batch", "log_inputs", "set_tag", "set_terminated", "log_artifact"):
        original = getattr(mlflow.MlflowClient, name)

        def counted(self, *words, _name=name, _original=original, **options):
            seen.append((_name, words[0] if words else None))
            return _original(self, *words, **options)

        monkeypatch.setattr(mlflow.MlflowClient, name, counted)
    logged(run_of(tmp_path), results)
    child = runs_in(uri)[1].info.run_id
    assert sorted(name for name, run_id in seen if run_id == child) == [
        "log_batch", "log_batch", "set_tag", "set_terminated",
    ]  # fmt: skip


def tables(**changes):
    """What a sweep of one pattern may look like, for the rule of small counts."""
    sweep = pd.DataFrame({
        "mechanism": "m", "rate": [0.0, 0.5, 1.0], "recovery": "r", "strategy": "auto", "n": [100, 97, 60],
        "n_positive": [30, 29, 6], "auroc": 0.7, "auroc_low": 0.6, "auroc_high": 0.8, "over_discard": 0.1,
        "reason": "", "n_not_predicted": [0, 3, 40],
    })  # fmt: skip
    figures = pd.DataFrame({
        "figure": ["auroc", "sensitivity_at_specificity_0.9", "auroc"], "value": [0.7, 0.8, 0.6], "low": 0.5,
        "high": 0.9, "n": [100.0, 100.0, np.nan], "n_positive": [30.0, 30.0, np.nan], "reason": ["", "", "suppressed"],
    })  # fmt: skip
    fusions = pd.DataFrame({
        "mechanism": "m", "rate": [0.5, 0.5, 0.7, 0.7, 1.0, 1.0], "recovery": "r", "strategy": "auto",
        "decision": ["fused", "rejected"] * 3, "n": [50, 60, 70, 80, 200, 200], "n_right": [47, 30, 35, 40, 100, 100],
        "share_right": 0.5, "share_right_low": 0.4, "share_right_high": 0.6, "mean_gain": 0.1,
    })  # fmt: skip
    regret = pd.DataFrame({
        "mechanism": "m", "rate": [0.5, 1.0], "recovery": "r", "strategy": "auto", "n": [97, 60], "regret": 0.1,
        "regret_low": 0.0, "regret_high": 0.2, "share_best": [0.5, 0.99],
    })  # fmt: skip
    rewards = pd.DataFrame({
        "recovery": "r", "strategy": "auto", "n": [5, 500], "reward": 0.1, "gain": 0.1, "gain_low": 0.0,
        "gain_high": 0.2, "share_helped": [0.5, 0.99], "overall_n": 505,
    })  # fmt: skip
    found = {"sweep": sweep, "figures": figures, "calibration": figures, "references": figures, "subgroups": figures}
    found |= {"fusions": fusions, "regret": regret, "rewards": rewards}
    subjects = pd.DataFrame({"split": ["train", "val", "test"] * 40, "label_cad": [0] * 60 + [1] * 60})
    return SimpleNamespace(
        tables=found | changes,
        seeds=[1],
        settings={"cells": [["m", 0.5, 1], ["m", 1.0, 1]]},
        task="cad",
        cohort=SimpleNamespace(subjects=subjects),
    )


def test_small_counts_and_what_tells_them_are_withheld():
    shown = exported_tables(tables(), 10)
    sweep = shown["sweep"]
    assert sweep["auroc"].isna().tolist() == sweep["over_discard"].isna().tolist() == [False, False, True]
    assert sweep["n"].isna().tolist() == sweep["n_not_predicted"].isna().tolist() == [False, True, True]
    assert sweep["reason"].tolist() == ["", "", "withheld"]
    figures = shown["figures"]
    assert figures["value"].isna().tolist() == [False, True, False]  # 24 of 30 tells that 6 were missed
    assert figures["reason"].tolist() == ["", "withheld", "suppressed"]
    fusions = shown["fusions"]
    assert fusions["n"].isna().tolist() == [True, True, True, True, False, False]  # 3 wrong, and the next smallest
    assert fusions["share_right"].isna().equals(fusions["n"].isna())
    assert "n" not in shown["regret"]
    assert shown["regret"]["share_best"].isna().tolist() == [False, True]
    assert shown["rewards"]["gain"].isna().tolist() == [True, False]
    assert shown["rewards"]["share_helped"].isna().tolist() == [True, True]


def test_limit_of_one_withholds_nothing():
    given = tables()
    for name, table in exported_tables(given, 1).items():
        before = given.tables[name].drop(columns="n") if name == "regret" else given.tables[name]
        pd.testing.assert_frame_equal(table, before, check_dtype=False)


def test_sweep_in_which_nothing_was_tried_has_empty_tables():
    nothing = pd.DataFrame()
    shown = exported_tables(tables(fusions=nothing, rewards=nothing), 10)
    assert shown["fusions"].empty
    assert shown["rewards"].empty
    with pytest.raises(ValueError, match="min_count must be a positive integer"):
        exported_tables(tables(), 0)


def test_withheld_figures_are_no_metrics(tmp_path, uri, results):
    run = run_of(tmp_path)
    log_sweep(run, results, results.folder / "export" / "figures", min_count=1000)
    run.finish()
    assert [each.data.metrics for each in runs_in(uri)] == [{}] * 5


def test_children_arrive_with_their_parent_when_the_store_was_away(tmp_path, uri, results, monkeypatch):
    class Nobody:
        wait = staticmethod(lambda *_: 1)

    monkeypatch.setattr(mlflow_run, "start_sender", lambda *_, **__: Nobody())
    run = logged(run_of(tmp_path), results)
    assert runs_in(uri) == []
    Sender(run.folder, uri).send()
    parent, *children = runs_in(uri)
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert len(children) == 4
