import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from dymo_med.evaluation.selection_quality import (
    candidates_of,
    fusion_outcomes,
    read_decisions,
    regret,
    reward_calibration,
)
from dymo_med.handlers.decisions import describe
from dymo_med.selection import Selection, SelectionStep, SelectionTrace


def decided(subject, label, before, after, accepted, reward=0.1, strategy="greedy"):
    """A subject with one candidate."""
    return {
        "subject_id": subject,
        "label": label,
        "strategy": strategy,
        "pattern": "no table",
        "probability": after if accepted else before,
        "candidates": ["table by tip"],
        "rewards": [reward],
        "probabilities_before": [before],
        "probabilities_after": [after],
        "accepted": [accepted],
    }


@pytest.mark.parametrize(
    ("label", "before", "after", "helps"),
    [
        (1, 0.6, 0.8, True),  # loss falls
        (1, 0.9, 0.8, True),  # loss rises, yet right it was and right it stays
        (1, 0.6, 0.4, False),  # turned wrong
        (1, 0.3, 0.2, False),  # wrong, and more so
        (1, 0.2, 0.3, True),  # still wrong, less so
        (0, 0.4, 0.1, True),
        (0, 0.6, 0.8, False),
    ],
)
@pytest.mark.parametrize("accepted", [True, False])
def test_a_decision_is_right_by_what_the_fusion_does(label, before, after, helps, accepted):
    tried = candidates_of(pd.DataFrame([decided("a", label, before, after, accepted)]))
    assert tried["is_right"].item() == (helps if accepted else not helps)
    true_before, true_after = (before, after) if label else (1 - before, 1 - after)
    assert tried["gain"].item() == pytest.approx(math.log(true_after) - math.log(true_before))


def test_several_steps_become_several_rows():
    row = decided("a", 1, 0.4, 0.6, True) | {
        "candidates": ["x", "y", "y"],
        "rewards": [0.1, 0.2, 0.3],
        "probabilities_before": [0.4, 0.4, 0.5],
        "probabilities_after": [0.5, 0.3, 0.9],
        "accepted": [True, False, True],
    }
    nothing = decided("b", 1, 0.4, 0.6, True) | {
        name: [] for name in ("candidates", "rewards", "probabilities_before", "probabilities_after", "accepted")
    }
    tried = candidates_of(pd.DataFrame([row, nothing]))
    assert tried["candidate"].tolist() == ["x", "y", "y"]
    assert tried["reward"].tolist() == [0.1, 0.2, 0.3]
    assert tried["is_right"].tolist() == [True, True, True]
    assert tried["subject_id"].tolist() == ["a"] * 3


def test_certain_predictions_have_a_finite_loss():
    tried = candidates_of(pd.DataFrame([decided("a", 1, 0.0, 1.0, True)]))
    assert tried["gain"].item() == pytest.approx(-math.log(1e-7))


def test_outcomes_are_counted_by_group():
    rng = np.random.default_rng(0)
    tried = pd.DataFrame(
        {
            "sex": rng.choice(["f", "m"], 100),
            "accepted": rng.random(100) < 0.6,
            "is_right": rng.random(100) < 0.7,
            "gain": rng.normal(size=100),
        }
    )
    table = fusion_outcomes(tried, ["sex"])
    assert table["n"].sum() == 100
    for row in table.itertuples():
        own = tried[(tried["sex"] == row.sex) & (tried["accepted"] == (row.decision == "fused"))]
        assert (row.n, row.n_right) == (len(own), own["is_right"].sum())
        low, high = proportion_confint(row.n_right, row.n, method="wilson")
        assert (row.share_right_low, row.share_right_high) == (pytest.approx(low), pytest.approx(high))
        assert row.mean_gain == pytest.approx(own["gain"].mean())


def strategies(n=60, seed=0):
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.4).astype(int)
    frames = []
    for name in ("discard", "fuse_all", "greedy"):
        frame = pd.DataFrame({"subject_id": [f"s{i}" for i in range(n)], "label": label, "strategy": name})
        frames.append(frame.assign(probability=rng.uniform(0.05, 0.95, n), pattern="no table"))
    return pd.concat(frames)


def test_regret_equals_a_loop():
    table = strategies()
    result = regret(table, ["pattern"], ["pattern"], n_resamples=200).set_index("strategy")
    losses = {
        (row.strategy, row.subject_id): -math.log(row.probability if row.label else 1 - row.probability)
        for row in table.itertuples()
    }
    for strategy in ("discard", "fuse_all", "greedy"):
        values = []
        for subject in table["subject_id"].unique():
            best = min(losses["discard", subject], losses["fuse_all", subject])
            values.append(losses[strategy, subject] - best)
        assert result.loc[strategy, "regret"] == pytest.approx(np.mean(values))
        assert result.loc[strategy, "share_best"] == pytest.approx(np.mean(np.array(values) <= 1e-12))
        assert result.loc[strategy, "regret_low"] < result.loc[strategy, "regret"] < result.loc[strategy, "regret_high"]
    assert result.loc[["discard", "fuse_all"], "share_best"].sum() == pytest.approx(1)


def test_choosing_the_better_one_has_no_regret():
    table = strategies()
    wide = table.pivot(index=["subject_id", "label"], columns="strategy", values="probability").reset_index()
    better = np.where(wide["label"] == 1, np.maximum(wide["discard"], wide["fuse_all"]), 0) + np.where(
        wide["label"] == 0, np.minimum(wide["discard"], wide["fuse_all"]), 0
    )
    oracle = wide[["subject_id", "label"]].assign(strategy="oracle", probability=better, pattern="no table")
    result = regret(pd.concat([table, oracle]), ["pattern"], ["pattern"], n_resamples=10).set_index("strategy")
    assert result.loc["oracle", "regret"] == pytest.approx(0, abs=1e-12)
    assert result.loc["oracle", "share_best"] == 1


def test_seeds_are_repeats_of_a_subject_not_more_subjects():
    once, twice = strategies(seed=1), strategies(seed=1)
    both = pd.concat([once.assign(seed=1), twice.assign(seed=2)])
    single = regret(once, ["pattern"], ["pattern"], n_resamples=100)
    double = regret(both, ["pattern", "seed"], ["pattern"], n_resamples=100)
    pd.testing.assert_frame_equal(single, double)


def test_rewards_against_gains():
    rng = np.random.default_rng(3)
    reward = rng.normal(size=500)
    tried = pd.DataFrame({"reward": reward, "gain": 0.5 * reward + rng.normal(size=500)})
    groups, overall = reward_calibration(tried, n_groups=5)
    assert groups["n"].tolist() == [100] * 5
    assert groups["gain"].is_monotonic_increasing
    assert ((groups["gain_low"] < groups["gain"]) & (groups["gain"] < groups["gain_high"])).all()
    assert overall["auroc"] == pytest.approx(roc_auc_score(tried["gain"] > 0, reward))
    assert overall["spearman"] == pytest.approx(spearmanr(reward, tried["gain"]).statistic)


def test_a_reward_without_contrast_is_undefined():
    groups, overall = reward_calibration(pd.DataFrame({"reward": [0.1, 0.1], "gain": [0.2, 0.3]}))
    assert groups["n"].tolist() == [2]
    assert math.isnan(overall["spearman"])
    assert math.isnan(overall["auroc"])
    assert reward_calibration(pd.DataFrame({"reward": [0.1], "gain": [0.2]}))[0]["gain_low"].isna().all()


def test_decisions_of_an_evaluation_are_read(tmp_path):
    import torch

    step = SelectionStep(
        probs_before=torch.tensor([[0.6, 0.4]]),
        confidence_before=torch.tensor([0.6]),
        ics_before=torch.tensor([0.3]),
        probs=torch.tensor([[[0.1, 0.9], [torch.nan, torch.nan]]]),
        confidence=torch.tensor([[0.8, torch.nan]]),
        ics=torch.tensor([[0.5, torch.nan]]),
        ics_weight=torch.tensor([[1.0, torch.nan]]),
        reward=torch.tensor([[0.2, torch.nan]]),
        accepted=torch.tensor([[True, False]]),
    )
    trace = SelectionTrace(
        ("image", "table"),
        ((1, 1), (1, 2)),
        ("tip", "mean_mode"),
        torch.tensor([[1.0, 0.0]]),
        torch.tensor([[True, False]]),
        torch.tensor([[0, 1]]),
        (step,),
    )
    selection = Selection(torch.log(torch.tensor([[0.1, 0.9]])), torch.zeros(1, 2), trace)
    record = {"subject_id": "a", "strategy": "greedy", "label": 1} | describe(selection, ["no", "yes"])[0]
    refused = {"subject_id": "b", "status": "no prediction", "reason": "nothing"}
    path = tmp_path / "decisions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (record, refused)).replace("NaN", "null"))
    table = read_decisions(path, "yes")
    assert table[["subject_id", "label", "strategy", "fused"]].values.tolist() == [["a", 1, "greedy", "table by tip"]]
    assert table["probability"].item() == pytest.approx(0.9)
    tried = candidates_of(table)
    assert tried[["candidate", "accepted", "is_right"]].values.tolist() == [["table by tip", True, True]]
    assert tried["gain"].item() == pytest.approx(math.log(0.9 / 0.4), rel=1e-6)
    with pytest.raises(KeyError, match=r"class 1 must be one of \['no', 'yes'\], however: 'sick'"):
        read_decisions(path, "sick")
    del record["label"]
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(KeyError, match="decisions need labels, however: there is none among"):
        read_decisions(path, "yes")
    with pytest.raises(FileNotFoundError, match=r"no decisions at .*none\.jsonl: evaluate"):
        read_decisions(tmp_path / "none.jsonl", "yes")


def test_refusals():
    table = strategies()
    with pytest.raises(KeyError, match=r"however: \['candidates', 'rewards'"):
        candidates_of(table)
    with pytest.raises(ValueError, match=r"by discard and fuse_all, however: .*fuse_all.* absent"):
        regret(table[table["strategy"] != "fuse_all"], ["pattern"], ["pattern"])
    with pytest.raises(ValueError, match="a subject may occur once in a pattern and strategy, however: 180 rows"):
        regret(pd.concat([table, table]), ["pattern"], ["pattern"])
    with pytest.raises(KeyError, match=r"however: \['probability'\] are absent"):
        regret(table.drop(columns="probability"), ["pattern"], ["pattern"])
    with pytest.raises(ValueError, match="a reward needs candidates, however: 0"):
        reward_calibration(pd.DataFrame({"reward": [], "gain": []}))
