"""Quality of the selection by subgroup, against loops over the members of each group."""

import math

import numpy as np
import pandas as pd
import pytest

from dymo_med.evaluation.quality_by_group import fusions_by_group, regret_by_group, rewards_by_group
from dymo_med.evaluation.selection_quality import candidates_of, fusion_outcomes, regret, reward_calibration

N = 240
SUBJECTS = [f"s{number:03d}" for number in range(N)]
LABEL = dict(zip(SUBJECTS, (np.arange(N) % 3 == 0).astype(int), strict=True))


@pytest.fixture(scope="module")
def groups():
    """The last twelve subjects have no row: not known."""
    sex = np.where(np.arange(N) % 2, "female", "male")
    site = ["north"] * 120 + ["south"] * 110 + ["west"] * 10
    return pd.DataFrame({"sex": sex, "site": site}, index=SUBJECTS).iloc[:-12]


@pytest.fixture(scope="module")
def predictions():
    """Two patterns and two draws; greedy fuses one candidate of every subject, or not."""
    rng = np.random.default_rng(0)
    rows = []
    for pattern in ("columns", "table"):
        for seed in (1, 2):
            for subject in SUBJECTS:
                before, after = rng.uniform(0.05, 0.95, 2)
                head = {"subject_id": subject, "label": LABEL[subject], "pattern": pattern, "seed": seed}
                reward = rng.normal()
                tried = {"candidates": ["table by tip"], "rewards": [reward], "accepted": [reward > 0]}
                tried |= {"probabilities_before": [before], "probabilities_after": [after]}
                nothing = {name: [] for name in tried}
                rows.append(head | {"strategy": "discard", "probability": before} | nothing)
                rows.append(head | {"strategy": "fuse_all", "probability": after} | nothing)
                rows.append(head | {"strategy": "greedy", "probability": after if reward > 0 else before} | tried)
    return pd.DataFrame(rows).sample(frac=1, random_state=0, ignore_index=True)


@pytest.fixture(scope="module")
def tried(predictions):
    return candidates_of(predictions)


def members(groups, variable, group):
    known = groups.index[groups[variable] == group]
    return set(known) if group != "not known" else set(SUBJECTS) - set(groups.index)


def shown_of(table):
    return table[table["reason"] == ""]


def test_fusions_are_counted_among_members(tried, groups):
    table = fusions_by_group(tried, groups, ["pattern"], min_count=1)
    assert list(table.columns[:3]) == ["variable", "group", "pattern"]
    assert set(table["group"]) == {"female", "male", "north", "south", "not known"}  # the ten of the west have no row
    assert len(table) == (3 + 3) * 2 * 2
    for row in shown_of(table).itertuples():
        inside = members(groups, row.variable, row.group)
        own = [c for c in tried.to_dict("records") if c["subject_id"] in inside and c["pattern"] == row.pattern]
        own = [c for c in own if c["accepted"] == (row.decision == "fused")]
        assert row.n == len(own)
        assert row.n_right == sum(c["is_right"] for c in own)
        assert row.mean_gain == pytest.approx(np.mean([c["gain"] for c in own]))
        interval = fusion_outcomes(pd.DataFrame(own), ["pattern"])
        assert row.share_right_low == pytest.approx(interval["share_right_low"].item())


def test_regret_is_that_of_members(predictions, groups):
    table = regret_by_group(predictions, groups, ["pattern", "seed"], ["pattern"], min_count=1, n_resamples=50)
    assert len(table) == (3 + 3) * 2 * 3
    for (variable, group), rows in table.groupby(["variable", "group"]):
        own = predictions[predictions["subject_id"].isin(members(groups, variable, group))]
        expected = regret(own, ["pattern", "seed"], ["pattern"], n_resamples=50)
        found = rows.set_index(["pattern", "strategy"]).loc[pd.MultiIndex.from_frame(expected[["pattern", "strategy"]])]
        for name in ("n", "regret", "regret_low", "regret_high", "share_best"):
            np.testing.assert_allclose(found[name], expected[name])


def test_rewards_are_those_of_members(tried, groups):
    table = rewards_by_group(tried, groups, ["pattern"], n_groups=3, min_count=1)
    for (variable, group, pattern), rows in table.groupby(["variable", "group", "pattern"]):
        inside = tried["subject_id"].isin(members(groups, variable, group)) & (tried["pattern"] == pattern)
        parts, overall = reward_calibration(tried[inside], n_groups=3)
        np.testing.assert_allclose(rows[parts.columns].to_numpy(), parts.to_numpy(dtype=float))
        assert rows["overall_auroc"].unique() == pytest.approx([overall["auroc"]])
        assert rows["overall_n"].unique().tolist() == [inside.sum()]


@pytest.mark.parametrize("kind", ["fusions", "regret", "rewards"])
def test_a_small_group_takes_the_smallest_other_one_along(kind, tried, predictions, groups):
    sites = groups[["site"]].assign(site=groups["site"].where(groups["site"] != "west"))
    sites.iloc[115:120] = "east"  # five of 240: north 115, south 108 known, 12 without a row
    sites = pd.concat([sites, pd.DataFrame({"site": "south"}, index=sorted(set(SUBJECTS) - set(sites.index)))])
    call = {
        "fusions": lambda: fusions_by_group(tried, sites, ["pattern"]),
        "regret": lambda: regret_by_group(predictions, sites, ["pattern", "seed"], ["pattern"], n_resamples=5),
        "rewards": lambda: rewards_by_group(tried, sites, ["pattern"]),
    }
    table = call[kind]()
    hidden = table[table["reason"] != ""]
    numbers = table.columns.difference(["variable", "group", "pattern", "decision", "strategy", "reason"])
    assert set(hidden["group"]) == {"east", "north"}
    assert set(shown_of(table)["group"]) == {"south"}
    assert hidden[numbers].isna().all(axis=None)
    assert hidden["reason"].str.startswith("suppressed: fewer than 10 subjects of a class").all()
    assert shown_of(table)["n"].notna().all()
    names = [name for name in ("decision", "strategy") if name in table]
    assert not hidden.duplicated(["group", "pattern", *names]).any()


def outcomes(n_wrong, n_other_wrong):
    """All are fused, rightly but for some of each of two groups of a hundred."""
    subjects = [f"s{number:03d}" for number in range(200)]
    table = pd.DataFrame({"subject_id": subjects, "label": np.arange(200) % 2, "accepted": True, "pattern": "x"})
    wrong = [True] * n_wrong + [False] * (100 - n_wrong) + [True] * n_other_wrong + [False] * (100 - n_other_wrong)
    table = table.assign(is_right=~np.array(wrong), gain=np.where(wrong, -1.0, 1.0), reward=np.arange(200.0))
    return table, pd.DataFrame({"sex": ["female"] * 100 + ["male"] * 100}, index=subjects)


@pytest.mark.parametrize(("n_wrong", "is_hidden"), [(0, False), (1, True), (9, True), (10, False)])
def test_few_wrong_ones_of_a_large_group_are_hidden(n_wrong, is_hidden):
    tried, groups = outcomes(n_wrong, 50)
    table = fusions_by_group(tried, groups, ["pattern"])
    assert (table["reason"] != "").tolist() == [is_hidden, is_hidden]  # and the other one, which would tell it
    several_draws = pd.concat([tried.assign(seed=seed) for seed in range(5)])
    again = fusions_by_group(several_draws, groups, ["pattern"])
    assert (again["reason"] != "").tolist() == [is_hidden, is_hidden]  # draws are no subjects


def test_few_who_would_be_helped_are_hidden():
    tried, groups = outcomes(50, 50)
    tried["gain"] = np.where(tried["reward"] % 2 == 0, 1.0, -1.0)  # every other one, in each fifth
    assert (rewards_by_group(tried, groups, ["pattern"])["reason"] == "").all()
    tried.loc[tried["reward"] < 19, "gain"] = -1.0  # one in the lowest fifth of the first group
    tried.loc[1, "gain"] = 1.0
    assert (rewards_by_group(tried, groups, ["pattern"])["reason"] != "").all()


def test_few_best_predictions_are_hidden():
    subjects = [f"s{number:03d}" for number in range(60)]
    one = pd.DataFrame({"subject_id": subjects, "label": np.arange(60) % 2, "pattern": "x"})
    right = np.where(one["label"] == 1, 0.9, 0.1)
    one = pd.concat([one.assign(strategy=name, probability=1 - right) for name in ("discard", "fuse_all", "other")])
    own = (one["strategy"] == "other").to_numpy()
    worse = own & ~one["subject_id"].isin(subjects[:3]).to_numpy()
    one.loc[worse, "probability"] = np.where(one["label"][worse] == 1, 0.05, 0.95)
    groups = pd.DataFrame({"all": "everybody"}, index=subjects)
    table = regret_by_group(one, groups, ["pattern"], ["pattern"], n_resamples=5).set_index("strategy")
    assert table["reason"].ne("").to_dict() == {"discard": False, "fuse_all": False, "other": True}
    assert math.isnan(table.loc["other", "share_best"])


def test_nothing_tried_gives_no_row(tried, groups):
    for table in (fusions_by_group(tried.iloc[:0], groups, ["pattern"]), rewards_by_group(tried.iloc[:0], groups, [])):
        assert table.empty
        assert list(table.columns[:2]) == ["variable", "group"]


def test_refusals(tried, predictions, groups):
    with pytest.raises(ValueError, match="min_count must be a positive integer, however: min_count=0"):
        fusions_by_group(tried, groups, ["pattern"], min_count=0)
    with pytest.raises(ValueError, match="min_count must be a positive integer"):
        rewards_by_group(tried, groups, ["pattern"], min_count=0)
    with pytest.raises(ValueError, match="by discard and fuse_all, however"):
        regret_by_group(predictions[predictions["strategy"] != "discard"], groups, ["pattern", "seed"], ["pattern"])
    with pytest.raises(ValueError, match="min_count must be a positive integer"):
        regret_by_group(predictions, groups, ["pattern", "seed"], ["pattern"], min_count=0)
