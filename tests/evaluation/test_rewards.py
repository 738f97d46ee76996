import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from dymo_med.evaluation import first_candidates, reward_evidence, write_reward_evidence

CLASSES = ["no", "yes"]
COLUMNS = ["pattern", "strategy", "modality", "recovery", "reward", "loss_drop"]


def candidate(modality, reward, yes):
    return {"modality": modality, "recovery": "mopoe", "reward": reward, "probabilities": {"no": 1 - yes, "yes": yes}}


def record(label, before, *candidates, **more):
    step = {"before": {"probabilities": {"no": 1 - before, "yes": before}}, "candidates": list(candidates)}
    second = {"before": step["before"], "candidates": [candidate("m9", 9.0, 0.5)]}
    return {"strategy": "greedy", "pattern": "eta 0.8", "label": label, "steps": [step, second], **more}


def write(path, records):
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return path


def test_first_candidates_are_held_against_the_loss(tmp_path):
    records = [
        record(1, 0.5, candidate("m0", 0.2, 0.8), candidate("m1", -0.1, 0.25)),
        record(0, 0.5, candidate("m0", 0.1, 0.75)),
        record(1, 0.5, candidate("m0", 0.0, 0.9)),
        {"strategy": "discard", "pattern": "eta 0.8", "label": 1, "steps": []},
        {"strategy": "greedy", "status": "no prediction"},
    ]
    found = write_reward_evidence(write(tmp_path / "decisions.jsonl", records), tmp_path, CLASSES)
    pd.testing.assert_frame_equal(found, pd.read_csv(tmp_path / "rewards.csv"))
    tried = first_candidates(tmp_path / "decisions.jsonl", CLASSES)
    assert list(tried.columns) == COLUMNS
    assert tried["reward"].tolist() == [0.2, -0.1, 0.1, 0.0]
    assert found[["modality", "n"]].values.tolist() == [["m0", 3], ["m1", 1]]
    first = found.iloc[0]
    drops = [math.log(0.8 / 0.5), math.log(0.25 / 0.5), math.log(0.9 / 0.5)]
    assert first["mean_reward"] == pytest.approx(0.1)
    assert first["mean_loss_drop"] == pytest.approx(np.mean(drops))
    assert first["rank_correlation"] == pytest.approx(spearmanr([0.2, 0.1, 0.0], drops).statistic)
    assert first["share_positive"] == pytest.approx(2 / 3)  # a reward of zero is no gain
    assert (first["helped_if_positive"], first["helped_otherwise"]) == (0.5, 1.0)
    assert math.isnan(found.loc[1, "rank_correlation"])
    assert math.isnan(found.loc[1, "helped_if_positive"])
    assert found.loc[1, "helped_otherwise"] == 0


def test_rewards_that_do_not_vary_have_no_correlation():
    rows = [("p", "s", "m", "r", 0.5, drop) for drop in (1.0, 2.0)]
    assert math.isnan(reward_evidence(pd.DataFrame(rows, columns=COLUMNS)).loc[0, "rank_correlation"])


def test_vanishing_probability_stays_finite(tmp_path):
    records = [record(1, 0.0, candidate("m0", 0.2, 1.0)), record(1, 0.5, candidate("m0", 0.3, 0.0))]
    found = write_reward_evidence(write(tmp_path / "decisions.jsonl", records), tmp_path, CLASSES)
    assert np.isfinite(found.loc[0, "mean_loss_drop"])


def test_nothing_recovered_is_an_empty_table(tmp_path):
    records = [{"strategy": "discard", "pattern": "eta 0.8", "label": 1, "steps": []}]
    found = write_reward_evidence(write(tmp_path / "decisions.jsonl", records), tmp_path, CLASSES)
    assert len(found) == 0
    assert "mean_loss_drop" in pd.read_csv(tmp_path / "rewards.csv")


def test_what_is_absent_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no decisions at .*: evaluate the bundle first"):
        write_reward_evidence(tmp_path / "none", tmp_path, CLASSES)
    unlabelled = record(1, 0.5, candidate("m0", 0.2, 0.8))
    del unlabelled["label"]
    with pytest.raises(KeyError, match=r"must have labels, however: one holds \['pattern', 'steps', 'strategy'\]"):
        write_reward_evidence(write(tmp_path / "d", [unlabelled]), tmp_path, CLASSES)
