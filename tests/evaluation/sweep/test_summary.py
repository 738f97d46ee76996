import numpy as np
import pandas as pd
import pytest

from dymo_med.evaluation.discrimination import auroc_interval, paired_auroc_test
from dymo_med.evaluation.multiplicity import holm
from dymo_med.evaluation.policy_choice import choose_policy, policy_grid
from dymo_med.evaluation.selection_quality import candidates_of, fusion_outcomes, regret, reward_calibration
from dymo_med.evaluation.sweep import (
    choose_on_validation,
    families_of,
    summarize_sweep,
    sweep,
    tabulate_sweep,
    usual_mechanisms,
)
from dymo_med.inferers import SelectionInferer
from tests.evaluation.sweep.conftest import MECHANISMS, POLICIES, batches, subjects

CELL = ["mechanism", "rate", "seed", "recovery"]


@pytest.fixture(scope="module")
def predictions(tmp_path_factory, network, tip):
    chosen = {name: MECHANISMS[name] for name in ("random value", "whole table")}
    path = sweep(
        network,
        batches(subjects(40), 16),
        tmp_path_factory.mktemp("sweep"),
        mechanisms=chosen,
        rates=[0.0, 0.5, 1.0],
        seeds=[1, 2],
        recoveries={"tip": [tip]},
        policies=POLICIES,
    )
    return pd.read_parquet(path)


def test_figures_are_means_over_seeds_of_the_same_subjects(predictions):
    table = summarize_sweep(predictions)
    assert len(table) == 2 * 3 * 4
    for row in table.itertuples():
        own = predictions.query("mechanism == @row.mechanism and rate == @row.rate")
        lost = own[own["probability"].isna()]["subject_id"].unique()
        own = own[~own["subject_id"].isin(lost)]

        def draws(strategy, own=own):
            of = own[own["strategy"] == strategy].sort_values(["seed", "subject_id"])
            return of["label"].to_numpy()[: len(of) // 2], of["probability"].to_numpy().reshape(2, -1)

        label, scores = draws(row.strategy)
        area = auroc_interval(label, scores)
        assert (row.auroc, row.auroc_low, row.auroc_high) == pytest.approx((area.value, area.low, area.high), abs=1e-12)
        assert (row.n, row.n_positive, row.n_not_predicted) == (len(label), label.sum(), len(lost))
        if row.strategy != "discard":
            test = paired_auroc_test(label, scores, draws("discard")[1])
            assert row.over_discard == pytest.approx(test.difference, abs=1e-12)
            assert row.over_discard_p == pytest.approx(test.p_value, abs=1e-9)
    adjusted = holm(table["over_discard_p"])
    np.testing.assert_array_equal(table["over_discard_p_holm"], adjusted)


def test_subjects_with_nothing_left_are_left_out_of_every_strategy(predictions):
    table = summarize_sweep(predictions)
    gone = table[(table["mechanism"] == "whole table") & (table["rate"] == 1)]
    n_without_image = int(subjects(40)["image_missing"].sum())
    assert (gone["n_not_predicted"] == n_without_image).all()
    assert (gone["n"] == 40 - n_without_image).all()
    assert (table[table["rate"] == 0]["n_not_predicted"] == 1).all()  # who had nothing to begin with


def test_few_subjects_are_not_estimable(predictions):
    table = summarize_sweep(predictions[predictions["subject_id"].isin(["s000", "s001", "s002"])])
    assert table["auroc"].isna().all()
    assert table["reason"].str.startswith("not estimable: ").all()


def test_refusals(predictions):
    with pytest.raises(ValueError, match="rows repeat one"):
        summarize_sweep(pd.concat([predictions, predictions]))
    with pytest.raises(KeyError, match="'label'] are absent"):
        summarize_sweep(predictions.drop(columns="label"))
    with pytest.raises(KeyError, match="'probability'] are absent"):
        summarize_sweep(predictions.drop(columns="probability"))


def test_all_else_is_derived_from_the_same_file(predictions):
    tried = candidates_of(predictions)
    assert set(tried["candidate"]) == {"table by tip"}
    assert set(fusion_outcomes(tried, ["mechanism"])["decision"]) == {"fused", "rejected"}
    groups, overall = reward_calibration(tried, n_groups=4)
    assert groups["n"].sum() == overall["n"] == len(tried)
    regrets = regret(predictions, CELL, ["mechanism", "rate"], n_resamples=50)
    assert (regrets[regrets["strategy"] == "discard"]["regret"] >= 0).all()


def test_policy_chosen_from_a_sweep_never_loses_on_it(tmp_path, network, tip):
    """The whole way: sweep the grid on validation subjects, choose, write, read, predict the same subjects."""
    grid = policy_grid()
    everybody = subjects(60, seed=3)
    mechanisms = {name: MECHANISMS[name] for name in ("random value", "whole table")}
    path = sweep(
        network,
        batches(everybody, 30),
        tmp_path,
        mechanisms=mechanisms,
        rates=[0.5, 1.0],
        seeds=[1],
        recoveries={"tip": [tip]},
        policies=grid,
    )
    validation = pd.read_parquet(path)
    policy = choose_policy(validation, grid).policy
    again = sweep(
        network,
        batches(everybody, 30),
        tmp_path / "again",
        mechanisms=mechanisms,
        rates=[0.5, 1.0],
        seeds=[1],
        recoveries={"tip": [tip]},
        policies={"discard": grid["discard"], "fuse_all": grid["fuse_all"], "auto": policy},
    )
    made = pd.read_parquet(again).dropna(subset="probability")
    means = {}
    for (situation, strategy), rows in made.groupby(["situation", "strategy"], observed=True):
        cells = [cell for _, cell in rows.groupby(["mechanism", "rate"], observed=True)]
        cells = [cell for cell in cells if min(cell["label"].sum(), (1 - cell["label"]).sum()) >= 5]
        if cells and situation in policy.threshold:
            areas = [auroc_interval(cell["label"], cell["probability"]).value for cell in cells]
            means.setdefault(situation, {})[strategy] = np.mean(areas)
    assert len(means) >= 2
    for reached in means.values():
        assert reached["auto"] >= max(reached["discard"], reached["fuse_all"]) - 1e-12
    inputs = {name: everybody[name] for name in ("table", "image_missing", "table_missing")}
    selection = SelectionInferer([tip], {"auto": policy})(everybody["image"], network, **inputs)["auto"]
    assert selection.logits[:-1].isfinite().all()


def test_stages_refuse_what_does_not_fit(tmp_path, predictions):
    def path(table, name):
        table.to_parquet(tmp_path / name)
        return tmp_path / name

    files = {"policy_file": tmp_path / "policy.json", "calibration_file": tmp_path / "calibration.json"}
    with pytest.raises(ValueError, match=r"one of \['isotonic', 'platt', 'temperature'\], however: calibration='beta'"):
        choose_on_validation(tmp_path / "none.parquet", {}, calibration="beta", **files)
    hidden = path(predictions[predictions["rate"] > 0], "hidden.parquet")
    options = {"groups": pd.DataFrame(), "references": pd.DataFrame(), "calibration_file": files["calibration_file"]}
    with pytest.raises(ValueError, match=r"needs rate 0, where nothing is hidden, however: rates=\[0\.5, 1\.0\]"):
        tabulate_sweep(hidden, tmp_path, **options)
    with pytest.raises(ValueError, match=r"as 'auto' in it, however: it has \['discard', 'fuse_all', 'greedy'"):
        tabulate_sweep(path(predictions, "all.parquet"), tmp_path, **options)
    assert not files["policy_file"].exists()


def test_mechanisms_of_an_image_and_a_table():
    found = usual_mechanisms([2, 0, 1], families_of(["a", "b", "c"], {"a": "labs", "c": "labs", "x": "other"}))
    assert found["most important columns"].order == [2, 0, 1]
    assert found["least important columns"].order == [1, 0, 2]
    assert found["device or questionnaire"].families == {"labs": [0, 2]}
    assert found["whole image"].modality == "image"
    assert "device or questionnaire" not in usual_mechanisms([0], {})
