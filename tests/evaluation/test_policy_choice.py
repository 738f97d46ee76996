import json
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dymo_med.evaluation.discrimination import paired_auroc_test
from dymo_med.evaluation.policy_choice import choose_policy, policy_grid
from dymo_med.inferers import Policy, policy_for, read_policy

THRESHOLDS = (-math.inf, -0.1, 0.0, 0.1, math.inf)
GRID = policy_grid(THRESHOLDS)
FUSED, PARTLY = "image whole, table absent", "image whole, table half or more"


def draw(seed, quality, n=300, rates=(0.5, 1.0), reward_tells=0.0):
    """A sweep of the grid: one candidate a subject, whose fusion brings ``quality[situation]`` (below 0: noise).

    The reward knows by ``reward_tells`` whether the fusion raises the probability of the true class.
    """
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.4).astype(int)
    frames = []
    for rate, situation in zip(rates, (PARTLY, FUSED), strict=True):
        alone = label + 1.5 * rng.normal(size=n)
        fused = alone + quality[situation] * (2 * label - 1) + abs(quality[situation]) * 1.5 * rng.normal(size=n)
        helps = (fused - alone) * (2 * label - 1)
        for name, policy in GRID.items():
            reward = 0.15 * rng.normal(size=n) + reward_tells * np.sign(helps) * 0.15
            limit = {"discard": math.inf, "fuse_all": -math.inf}.get(name, policy.threshold)
            score = np.where(reward > limit, fused, alone)
            frame = pd.DataFrame({"subject_id": [f"s{i}" for i in range(n)], "label": label})
            frame = frame.assign(mechanism="value", rate=rate, seed=1, recovery="tip", strategy=name)
            frames.append(frame.assign(situation=situation, probability=1 / (1 + np.exp(-score))))
    return pd.concat(frames, ignore_index=True)


def area(table, situation, strategy):
    own = table[(table["situation"] == situation) & (table["strategy"] == strategy)]
    return roc_auc_score(own["label"], own["probability"])


def name_of(policy, situation):
    limit = policy.threshold.get(situation)
    return f"greedy {policy.ics_weight.value} {limit}"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("reward_tells", [0.0, 1.0])
def test_on_validation_it_cannot_lose_to_discard_or_fuse_all(seed, reward_tells):
    rng = np.random.default_rng(100 + seed)
    table = draw(seed, {FUSED: rng.uniform(-1, 1), PARTLY: rng.uniform(-1, 1)}, reward_tells=reward_tells)
    policy = choose_policy(table, GRID).policy
    for situation in (FUSED, PARTLY):
        own = area(table, situation, name_of(policy, situation))
        assert own >= area(table, situation, "discard") - 1e-12
        assert own >= area(table, situation, "fuse_all") - 1e-12


def test_situations_get_thresholds_of_their_own():
    policy = choose_policy(draw(1, {FUSED: -1.0, PARTLY: 1.0}), GRID).policy
    assert policy.threshold[FUSED] == math.inf  # noise: nothing is fused
    assert policy.threshold[PARTLY] == -math.inf  # a help: everything is
    assert set(policy.threshold) == {FUSED, PARTLY, "otherwise"}


def test_a_reward_that_tells_is_used():
    choice = choose_policy(draw(2, {FUSED: -0.8, PARTLY: -0.8}, n=800, reward_tells=2.0), GRID)
    assert math.isfinite(choice.policy.threshold[FUSED])
    row = choice.evidence.query("is_chosen and situation == @FUSED").iloc[0]
    assert row["gain"] > row["gain_error"] > 0


def test_chance_is_not_taken_for_a_gain():
    """A reward that tells nothing: over many draws finite thresholds are rare, although one always looks best."""
    finite = [
        math.isfinite(choose_policy(draw(seed, {FUSED: 1e-3, PARTLY: -1.0}, n=120), GRID).policy.threshold[PARTLY])
        for seed in range(8)
    ]
    assert sum(finite) <= 3


@pytest.mark.parametrize("standard_errors", [0.0, 2.0, math.inf])
def test_a_threshold_must_gain_so_many_errors(standard_errors):
    for seed in range(4):
        table = draw(seed, {FUSED: -0.5, PARTLY: 0.3}, reward_tells=0.7)
        choice = choose_policy(table, GRID, standard_errors=standard_errors)
        taken = choice.evidence[choice.evidence["is_chosen"] & np.isfinite(choice.evidence["threshold"])]
        assert (taken["gain"] >= standard_errors * taken["gain_error"]).all()
        assert len(taken) or standard_errors
    with pytest.raises(ValueError, match="standard_errors must be 0 or more, however: standard_errors=-1"):
        choose_policy(draw(0, {FUSED: 0.5, PARTLY: 0.5}), GRID, standard_errors=-1)


def test_evidence_equals_plain_figures():
    table = draw(3, {FUSED: 0.5, PARTLY: -0.5})
    evidence = choose_policy(table, GRID).evidence
    assert len(evidence) == 2 * 3 * len(THRESHOLDS)
    for row in evidence.itertuples():
        name = f"greedy {row.ics_weight} {row.threshold}"
        assert row.auroc == pytest.approx(area(table, row.situation, name))
        fixed = max(("discard", "fuse_all"), key=lambda strategy: area(table, row.situation, strategy))
        assert row.gain == pytest.approx(row.auroc - area(table, row.situation, fixed))
        own = table[table["situation"] == row.situation]
        scores = {strategy: own[own["strategy"] == strategy] for strategy in (name, fixed)}
        test = paired_auroc_test(scores[name]["label"], scores[name]["probability"], scores[fixed]["probability"])
        assert row.gain_error == pytest.approx((test.high - test.low) / 2 / 1.959964, abs=1e-6)


def test_order_of_rows_does_not_matter():
    table = draw(4, {FUSED: 0.5, PARTLY: -0.5}, reward_tells=1.0)
    first = choose_policy(table, GRID).policy
    assert choose_policy(table.sample(frac=1, random_state=0), GRID).policy == first


def test_fuse_all_of_its_own_may_win():
    """With several recoveries fuse_all takes the first, greedy the one of the highest reward."""
    table = draw(5, {FUSED: -1.0, PARTLY: -1.0})
    better = table["strategy"] == "fuse_all"
    table.loc[better, "probability"] = table.loc[better, "label"] * 0.8 + 0.1
    choice = choose_policy(table, GRID)
    assert choice.policy == Policy("fuse_all")
    assert not choice.evidence["is_chosen"].any()


def test_file_is_read_by_inference(tmp_path):
    choice = choose_policy(draw(1, {FUSED: -1.0, PARTLY: 1.0}), GRID)
    path = tmp_path / "models" / "policy.json"
    choice.to_json(path, {"split": "val", "n": 300})
    assert read_policy(path) == choice.policy
    assert policy_for("auto", path) == choice.policy
    assert policy_for("none", tmp_path / "absent.json") == Policy("greedy", "none")
    content = json.loads(path.read_text())
    assert content["about"] == {"split": "val", "n": 300}
    assert len(content["evidence"]) == len(choice.evidence)


def test_few_subjects_or_gaps_in_the_grid_are_refused():
    table = draw(0, {FUSED: 0.5, PARTLY: 0.5})
    with pytest.raises(ValueError, match=r"needs 5 validation subjects of each class .* none of 2 situations"):
        choose_policy(table[table["subject_id"].isin(["s0", "s1", "s2"])], GRID)
    with pytest.raises(ValueError, match=r"however: \['greedy none 0\.0'\] are absent, 1 sets"):
        choose_policy(table[table["strategy"] != "greedy none 0.0"], GRID)
    with pytest.raises(ValueError, match=r"are absent, 2 sets: sweep the validation set"):
        choose_policy(pd.concat([table, table.assign(recovery="other", seed=2)]), GRID)
    with pytest.raises(ValueError, match=r"both infinite thresholds, however: \['log_ratio inf', .*\] are absent"):
        choose_policy(table, policy_grid([-math.inf]))
    with pytest.raises(ValueError, match=r"occur once in a .* repeat one"):
        choose_policy(pd.concat([table, table]), GRID)
    with pytest.raises(KeyError, match="'probability'] are absent"):
        choose_policy(table.drop(columns="probability"), GRID)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{}", r"must be of format .* however: \(None, None\): choose the policy anew"),
        ("[]", r"must be of format .* however: list"),
        ('{"format": "dymo_med policy", "version": 1, "policy": {"form": 1}}', r"a strategy, an ics_weight and .*form"),
    ],
)
def test_faulty_policy_files(tmp_path, content, text):
    path = tmp_path / "policy.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=text):
        read_policy(path)
