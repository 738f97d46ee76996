"""The study of the chosen policy: what it derives equals what a sweep would have written."""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import cases, policy_choice
from dymo_med.evaluation.discrimination import paired_auroc_test
from dymo_med.evaluation.policy_choice import policy_grid
from dymo_med.evaluation.sweep import Mechanism, sweep
from dymo_med.inferers import Policy
from dymo_med.recovery import MeanModeRecovery

pytestmark = pytest.mark.slow

N = 48
MECHANISMS = {"random value": Mechanism("table", "value"), "whole table": Mechanism("table", "table")}
FIXED = {
    "discard": Policy("discard"),
    "fuse_all": Policy("fuse_all"),
    "simultaneous": Policy("simultaneous"),
    "greedy": Policy("greedy"),
    "greedy_ratio": Policy("greedy", "ratio"),
    "greedy_log_ratio": Policy("greedy", "log_ratio"),
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Sweeps of a tiny network, of the fixed policies and of the grid, with one recovery and with two."""
    case = cases.cardiac_case("tiny", 0.5, batch_size=N, sizes=cases.TINY)
    mean_mode = MeanModeRecovery("table", cases.TINY.cardinalities, cases.TINY.n_numbers)
    mean_mode.fit(case.complete["table"], torch.zeros(case.complete["table"].shape, dtype=torch.bool))
    label = (torch.arange(N) % 3 == 0).long()
    none = torch.zeros(N, case.missing["table"].shape[1], dtype=torch.bool)
    batch = case.complete | {"image_missing": none[:, 0], "table_missing": none, "label": label}
    batch["subject_id"] = [f"s{number:02d}" for number in range(N)]
    sets = {"tip": case.recoveries, "all": [*case.recoveries, mean_mode]}
    paths = {}
    for name, policies in (("fixed", FIXED), ("grid", policy_grid())):
        folder = tmp_path_factory.mktemp(name)
        options = {"mechanisms": MECHANISMS, "rates": [0.0, 0.5, 1.0], "seeds": [1], "recoveries": sets}
        paths[name] = sweep(case.network, [batch], folder, policies=policies, **options)
    return paths


@pytest.fixture(scope="module")
def tables(swept):
    return {name: pd.read_parquet(path) for name, path in swept.items()}


@pytest.mark.parametrize("recovery", ["tip", "all"])
def test_the_grid_follows_from_first_steps(tables, recovery):
    keys = [*policy_choice.KEYS, "strategy"]
    own = {name: table[table["recovery"] == recovery] for name, table in tables.items()}
    derived = policy_choice.grid_of(own["fixed"]).set_index(keys)["probability"].sort_index()
    expected = own["grid"].astype(dict.fromkeys(("mechanism", "strategy", "subject_id"), object))
    expected = expected.set_index(keys)["probability"].sort_index()
    assert derived.index.equals(expected.index)
    np.testing.assert_allclose(derived, expected, atol=1e-5)
    assert not np.allclose(derived.xs("greedy none 0.0", level="strategy"), derived.xs("discard", level="strategy"))


def test_a_choice_is_taken_from_the_grid_by_situation(tables):
    grid = policy_choice.grid_of(tables["fixed"].query("recovery == 'tip'"))
    absent = "image whole, table absent"
    policy = Policy("greedy", "ratio", {absent: -np.inf, "otherwise": np.inf})
    made = policy_choice.decided_by(policy, grid, policy_grid())
    assert len(made) == N * 2 * 3
    index = made.set_index(policy_choice.KEYS)
    for situation, strategy in ((absent, "fuse_all"), ("image whole, table half or more", "discard")):
        own = index[index["situation"] == situation]
        other = grid[(grid["strategy"] == strategy) & (grid["situation"] == situation)]
        other = other.set_index(policy_choice.KEYS)["probability"].reindex(own.index)
        assert len(own)
        np.testing.assert_allclose(own["probability"], other, atol=1e-5)


def test_differences_are_paired(tables):
    made, _ = policy_choice.with_auto(*[tables["fixed"].query("recovery == 'tip'")] * 2)
    patterns = policy_choice.patterns_of(made)
    assert len(patterns) == 2 + 1  # the whole table counts once
    for row in patterns.to_dict("records"):
        own = made[(made["mechanism"] == row["mechanism"]) & (made["rate"] == row["rate"])]
        wide = own.pivot(index=["subject_id", "label"], columns="strategy", values="probability")
        test = paired_auroc_test(wide.index.get_level_values("label"), wide["auto"], wide[row["better"]])
        assert row["difference"] == pytest.approx(test.difference)
        assert row["difference"] <= max(row["auto"] - row["discard"], row["auto"] - row["fuse_all"])
        if np.isfinite(test.low):
            assert row["error"] == pytest.approx((test.high - test.low) / 2 / 1.959964, abs=1e-6)


def test_a_study_is_written(tables, tmp_path, monkeypatch):
    own = tables["fixed"]
    chooses = own["subject_id"].isin([f"s{number:02d}" for number in range(24)])
    for split, part in (("validation", own[chooses]), ("test", own[~chooses])):
        part.to_parquet(tmp_path / f"{split}.parquet")
    monkeypatch.setattr(policy_choice, "sweep_of", lambda _folder, _seed, split: tmp_path / f"{split}.parquet")
    result = policy_choice.study(tmp_path, [1, 2], n_draws=1)
    assert result["by_seed"]["patterns"] == 2 * 3
    assert set(result["policies"]) == {"1 tip", "1 all", "2 tip", "2 all"}
    pooled = pd.read_csv(tmp_path / "pooled.csv")
    patterns = pd.read_csv(tmp_path / "patterns.csv")
    assert len(pooled) == 3
    np.testing.assert_allclose(pooled["auto"], patterns.groupby(["mechanism", "rate"], sort=False)["auto"].mean())
    np.testing.assert_allclose(pooled["error"] * np.sqrt(2), patterns.query("study_seed == 1")["error"])
    recoveries = pd.read_csv(tmp_path / "recoveries.csv")
    assert set(recoveries["strategy"]) == {
        "discard",
        "fuse_all",
        "greedy, tip",
        "greedy, all",
        "auto, tip",
        "auto, all",
    }
    assert (recoveries.query("strategy == 'discard'")["regret"] >= 0).all()
    assert (recoveries["n"] == 2 * (N - 24)).all()
    rules = pd.read_csv(tmp_path / "rules.csv")
    assert rules["rule"].tolist() == list(policy_choice.RULES) * 2


def test_rules_are_measured_on_subjects_who_did_not_choose(tables):
    own = tables["fixed"].query("recovery == 'tip'")
    own = own.assign(subject_id=own["subject_id"].astype(str))  # as two sweeps put together have it
    draws = policy_choice.rules_of(own, n_validation=24, n_draws=2)
    assert len(draws) == 2 * len(policy_choice.RULES) * 3
    assert (draws["n"] == N - 24).all()
    only = draws[draws["rule"] == "discard or fuse_all, for all"]
    nearest = np.minimum((only["auto"] - only["discard"]).abs(), (only["auto"] - only["fuse_all"]).abs())
    assert nearest.max() < 1e-9


def test_a_rule_is_measured_against_the_better_one_on_average():
    draws = pd.DataFrame({"discard": [0.7, 0.7], "fuse_all": [0.8, 0.66], "auto": [0.7, 0.7], "draw": [0, 1]})
    draws = draws.assign(rule="r", mechanism="x", rate=0.5)
    (row,) = policy_choice.rules_summary(draws).to_dict("records")  # fuse_all is better on average: 0.73
    assert row["mean_difference"] == pytest.approx((-0.1 + 0.04) / 2)
    assert row["lowest_mean_of_a_pattern"] == pytest.approx(-0.03)
    assert (row["patterns_within_goal"], row["draws_within_goal"]) == (0, 0.5)
