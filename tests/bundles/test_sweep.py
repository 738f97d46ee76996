"""The sweep of the classification bundle, from validation subjects to tables, and what inference makes of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dymo_med.evaluation.sweep.stages import FITS
from dymo_med.inferers import read_policy
from dymo_med.networks.calibration import TemperatureScaling, read_calibration
from tests.bundles.runs import CAD, THIRD_PARTY_WARNINGS, TIP, metadata, run, workflow
from tests.tracking.stores import client, runs_in

pytestmark = [pytest.mark.slow, *THIRD_PARTY_WARNINGS]

SMALL = {"rates": [0.0, 0.5, 1.0], "seeds": [1, 2], "ranking_subjects": 8}


@pytest.fixture(scope="module")
def root(tmp_path_factory, copy_store, process_state, phantom_cohort):
    root = tmp_path_factory.mktemp("bundles") / "work"
    copy_store(root / "eval")
    places = {"bundle_root": root, "dataset_dir": phantom_cohort.folder}
    run(TIP, **places)
    run(CAD, **places)
    return root


def test_a_sweep_refuses_what_few_subjects_cannot_carry(root, phantom_cohort, monkeypatch):
    """28 subjects are too few to choose a policy; with the limit lowered every stage runs."""
    places = {"bundle_root": str(root), "dataset_dir": str(phantom_cohort.folder), **SMALL}
    work = workflow(CAD, "sweep.yaml", **places)
    work.initialize()
    with pytest.raises(RuntimeError) as caught:
        work.run()
    cause = caught.value
    while cause.__cause__ is not None:
        cause = cause.__cause__
    assert "a policy needs 5 validation subjects of each class in a situation" in str(cause)
    work.parser.get_parsed_content("mlflow_run")._end_unfinished()  # as the end of the process does
    validation = pd.read_parquet(root / "eval" / "sweep" / "validation" / "predictions.parquet")

    monkeypatch.setattr("dymo_med.evaluation.policy_choice.MIN_PER_CLASS", 1)
    step = TemperatureScaling(1.5)
    monkeypatch.setitem(FITS, "platt", lambda *_: step)
    work = workflow(CAD, "sweep.yaml", **places)
    work.initialize()
    work.run()
    work.finalize()
    folder = root / "eval" / "sweep"
    names = ["calibration", "figures", "fusions", "references", "regret", "rewards", "subgroups", "sweep"]
    names = sorted([*names, "fusions_by_group", "regret_by_group", "rewards_by_group"])
    assert sorted(path.stem for path in folder.glob("*.csv")) == names
    assert read_policy(root / "models" / "policy.json").strategy in ("greedy", "discard", "fuse_all")
    assert read_calibration(root / "models" / "calibration.json").steps == (step,)
    table = pd.read_csv(folder / "sweep.csv")
    assert set(table["strategy"]) >= {"discard", "fuse_all", "greedy", "auto"}
    assert set(table["mechanism"]) >= {
        "random value",
        "most important columns",
        "device or questionnaire",
        "whole image",
    }
    tested = pd.read_parquet(folder / "test" / "predictions.parquet")
    assert not set(tested["subject_id"]) & set(validation["subject_id"])

    cases = pd.read_parquet(folder / "test" / "cases.parquet")
    assert set(cases["subject_id"]) <= set(tested["subject_id"])
    uri = f"sqlite:///{root / 'eval' / 'mlflow.db'}"
    stored = [each for each in runs_in(uri) if each.data.tags.get("task") == "cad"]
    sweep, *children = stored  # the sweep that was refused has gone on: no second parent
    assert sweep.info.run_name.startswith("sweep cad seed 2022 ")
    assert (sweep.info.status, sweep.data.tags["bundle"]) == ("FINISHED", metadata(CAD)["name"])
    assert "failure" not in sweep.data.tags
    strategies = {"discard", "fuse_all", "simultaneous", "greedy", "greedy_ratio", "greedy_log_ratio", "auto"}
    assert {child.info.run_name.split()[0] for child in children} == strategies
    assert len(children) == len(strategies)
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {sweep.info.run_id}
    assert {child.data.tags["bundle"] for child in children} == {metadata(CAD)["name"]}
    sent = client(uri)
    artifacts = {each.path for each in sent.list_artifacts(sweep.info.run_id)}
    assert artifacts >= {
        "report.html",
        "sweep.json",
        "figures.json",
        "subgroups.json",
    }  # 28 subjects: no figure may be told
    _tells_of_no_subject(root, phantom_cohort)
    page = Path(sent.download_artifacts(sweep.info.run_id, "report.html")).read_text(encoding="utf-8")
    assert "Single cases</h2>" not in page
    assert not any(subject in page for subject in phantom_cohort.subjects.index)

    new = {"bundle_root": str(root), "dataset_dir": str(phantom_cohort.folder), "ics_weight": "auto"}
    run(CAD, "inference.yaml", **new)
    plain = pd.read_csv(root / "eval" / "inference" / "predictions.csv").set_index("subject_id")
    run(CAD, "inference.yaml", **new, calibrated=True)
    calibrated = pd.read_csv(root / "eval" / "inference" / "predictions.csv").set_index("subject_id")
    odds = [np.log(table["probability"] / (1 - table["probability"])) for table in (plain, calibrated)]
    np.testing.assert_allclose(odds[1], odds[0] / 1.5, rtol=1e-3, atol=1e-4)
    assert calibrated["fused"].equals(plain["fused"])


def _tells_of_no_subject(root, cohort):
    texts = [*cohort.subjects.index, *cohort.set_aside["subject_id"], str(cohort.folder), str(root / "models")]
    for path in [*(root / "eval").glob("mlflow-files/**/*"), root / "eval" / "mlflow.db"]:
        if path.is_file():
            content = path.read_bytes()
            assert [text for text in texts if text.encode() in content] == [], path.name
