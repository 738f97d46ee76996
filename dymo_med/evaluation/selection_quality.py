"""Was a fusion right? Decisions against labels: outcomes, regret, and what a reward is worth."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata, spearmanr

from dymo_med.evaluation.bootstrap import resampled_counts
from dymo_med.evaluation.inputs import check_predictions
from dymo_med.utils import Strategy, check_positive_int

__all__ = [
    "candidates_of",
    "fusion_outcomes",
    "losses_beyond_best",
    "read_decisions",
    "regret",
    "regret_rows",
    "reward_calibration",
]

FloatArray = NDArray[np.float64]

SMALLEST = 1e-7
"""Probabilities nearer to 0 or 1 count as this far from it in the loss: single precision ends there."""
NO_REGRET = 1e-12
"""Regret that is nothing but rounding."""
LISTS = ("candidates", "rewards", "probabilities_before", "probabilities_after", "accepted")


def read_decisions(path: str | Path, positive_class: str) -> pd.DataFrame:
    """Read ``decisions.jsonl`` of an evaluation into the columns that a sweep has.

    Args:
        path: File that :class:`~dymo_med.handlers.DecisionWriter` wrote, with labels.
        positive_class: Name of class 1.

    Returns:
        One row a prediction: ``subject_id``, ``label``, ``pattern``, ``strategy``, ``probability``, ``fused`` and the
        lists ``candidates``, ``rewards``, ``probabilities_before``, ``probabilities_after``, ``accepted``.

    Raises:
        FileNotFoundError: there is no such file.
        KeyError: predictions have no labels, or none of that class.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no decisions at {path}: evaluate the bundle first")
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    rows = [_row(record, positive_class) for record in records if record["status"] == "predicted"]
    return pd.DataFrame(rows)


def candidates_of(predictions: pd.DataFrame) -> pd.DataFrame:
    """Give one row for every candidate that a selection tried.

    Args:
        predictions: From a sweep or :func:`read_decisions`.

    Returns:
        The columns of ``predictions`` but its lists, and ``candidate``, ``reward``, ``accepted``, ``loss_before``,
        ``loss_after`` (cross-entropy of the label), ``gain`` (their difference: above 0 the fusion helps), and
        ``is_right``: accepted and rightly so, or rejected and rightly so. A fusion is right when it lowers the loss, or
        when the predicted class was right and stays so.

    Raises:
        KeyError: a column is missing.

    Example:
        >>> one = {"subject_id": "a", "label": 1, "candidates": ["table by tip"]}
        >>> one |= {"rewards": [0.1], "probabilities_before": [0.4], "probabilities_after": [0.9], "accepted": [True]}
        >>> tried = candidates_of(pd.DataFrame([one]))
        >>> tried[["candidate", "is_right"]].values.tolist(), tried["gain"].round(2).tolist()
        ([['table by tip', True]], [0.81])
    """
    absent = [name for name in ("label", *LISTS) if name not in predictions]
    if absent:
        raise KeyError(f"decisions need the columns {['label', *LISTS]}, however: {absent} are absent")
    tried = predictions[predictions["candidates"].map(len) > 0].explode(list(LISTS), ignore_index=True)
    tried = tried.rename(columns={"candidates": "candidate", "rewards": "reward"})
    before, after = (np.asarray(tried.pop(f"probabilities_{when}"), dtype=np.float64) for when in ("before", "after"))
    label = tried["label"].to_numpy() == 1
    loss_before, loss_after = _loss(label, before), _loss(label, after)
    stays_right = ((before > 0.5) == label) & ((after > 0.5) == label)
    helps = (loss_after < loss_before) | stays_right
    accepted = tried["accepted"].astype(bool)
    return tried.assign(
        reward=tried["reward"].astype(float),
        accepted=accepted,
        loss_before=loss_before,
        loss_after=loss_after,
        gain=loss_before - loss_after,
        is_right=np.where(accepted, helps, ~helps),
    )


def fusion_outcomes(candidates: pd.DataFrame, by: list[str], level: float = 0.95) -> pd.DataFrame:
    """Count how often fusing, and how often not fusing, was right.

    Args:
        candidates: From :func:`candidates_of`; join columns of subgroups to it to count by them.
        by: Columns to count by.
        level: Confidence level of the shares (Wilson).

    Returns:
        One row a group and decision: the columns of ``by``, ``decision`` (``"fused"`` or ``"rejected"``), ``n``,
        ``n_right``, ``share_right``, ``share_right_low``, ``share_right_high``, ``mean_gain`` of the loss by the fusion
        (had it been made, where it was rejected).

    Example:
        >>> tried = pd.DataFrame({"sex": "male", "accepted": True, "is_right": [True, True, False], "gain": [2, 1, -1]})
        >>> fusion_outcomes(tried, ["sex"])[["decision", "n", "n_right"]].values.tolist()
        [['fused', 3, 2]]
    """
    rows = []
    for key, group in candidates.groupby([*by, "accepted"], sort=True, observed=True):
        n, n_right = len(group), int(group["is_right"].sum())
        interval = binomtest(n_right, n).proportion_ci(level, method="wilson")
        head = dict(zip(by, key[:-1], strict=True)) | {"decision": "fused" if key[-1] else "rejected"}
        shares = {"share_right": n_right / n, "share_right_low": interval.low, "share_right_high": interval.high}
        rows.append(head | {"n": n, "n_right": n_right} | shares | {"mean_gain": float(group["gain"].mean())})
    return pd.DataFrame(rows)


def regret(
    predictions: pd.DataFrame, keys: list[str], by: list[str], *, n_resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Compare every strategy, subject by subject, with the better of discard and fuse_all.

    The regret of a prediction is its loss minus the lower of the losses of discard and fuse_all for the same subject:
    0 where the better one was chosen, below 0 where selection found something better than both.

    Args:
        predictions: Columns ``subject_id``, ``strategy``, ``label``, ``probability`` and those of ``keys`` and ``by``;
            rows without a probability are left out.
        keys: Columns that, beside subject and strategy, name a row, such as ``pattern``.
        by: Columns to average by, such as ``pattern`` or a subgroup.
        n_resamples: Resamples of subjects for the interval.
        seed: Seed of the resamples.

    Returns:
        One row a group and strategy: the columns of ``by``, ``strategy``, ``n``, ``regret`` (mean), ``regret_low``,
        ``regret_high`` (95 %, bootstrap within classes), ``share_best`` (regret 0 or below).

    Raises:
        KeyError: a column is missing.
        ValueError: a subject occurs twice, or discard or fuse_all is absent.

    Example:
        >>> rows = [("a", "discard", 0.8), ("a", "fuse_all", 0.6), ("a", "greedy", 0.6)]
        >>> table = pd.DataFrame(rows, columns=["subject_id", "strategy", "probability"]).assign(label=1, pattern="x")
        >>> regret(table, ["pattern"], ["pattern"])[["strategy", "regret"]].round(3).values.tolist()
        [['discard', 0.0], ['fuse_all', 0.288], ['greedy', 0.288]]
    """
    losses, strategies = losses_beyond_best(predictions, keys, by)
    rows = []
    for key, group in losses.groupby(by, sort=True, observed=True):
        head = dict(zip(by, key, strict=True))
        rows += [head | row for row in regret_rows(group, strategies, n_resamples=n_resamples, seed=seed)]
    return pd.DataFrame(rows)


def losses_beyond_best(predictions: pd.DataFrame, keys: list[str], by: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Give the regret of every single prediction, as :func:`regret` averages it.

    Args:
        predictions: As for :func:`regret`.
        keys: As for :func:`regret`.
        by: As for :func:`regret`.

    Returns:
        One row a subject and key: ``subject_id``, ``label``, the columns of ``keys`` and ``by``, and one column a
        strategy with its regret; and the names of the strategies.

    Raises:
        KeyError: a column is missing.
        ValueError: a subject occurs twice, or discard or fuse_all is absent.

    Example:
        >>> rows = [("a", "discard", 0.8), ("a", "fuse_all", 0.4)]
        >>> table = pd.DataFrame(rows, columns=["subject_id", "strategy", "probability"]).assign(label=1, pattern="x")
        >>> losses, strategies = losses_beyond_best(table, ["pattern"], [])
        >>> strategies, losses[strategies].round(2).values.tolist()
        (['discard', 'fuse_all'], [[0.0, 0.69]])
    """
    names = list(dict.fromkeys([*keys, *by]))
    absent = [name for name in ("strategy", "probability") if name not in predictions]
    if absent:
        raise KeyError(f"regret needs the columns strategy and probability, however: {absent} are absent")
    made = predictions[predictions["probability"].notna()]
    check_predictions(made, ["subject_id", *keys, "strategy"], by)
    loss = _loss(made["label"].to_numpy() == 1, made["probability"].to_numpy(dtype=float))
    wide = made.assign(loss=loss).pivot(index=["subject_id", "label", *names], columns="strategy", values="loss")
    missing = [name for name in (Strategy.DISCARD, Strategy.FUSE_ALL) if name not in wide]
    if missing:
        raise ValueError(f"regret needs predictions by discard and fuse_all, however: {missing} are absent: add them")
    best = wide[[Strategy.DISCARD, Strategy.FUSE_ALL]].min(axis=1)
    strategies = [str(name) for name in wide.columns]
    return wide.sub(best, axis=0).reset_index(), strategies


def regret_rows(
    losses: pd.DataFrame, strategies: list[str], *, n_resamples: int = 1000, seed: int = 0
) -> list[dict[str, Any]]:
    """Average the regret of each strategy over some rows of :func:`losses_beyond_best`.

    Args:
        losses: The rows.
        strategies: Names of the strategies.
        n_resamples: Resamples of subjects for the interval; all strategies are measured on the same ones.
        seed: Seed of the resamples.

    Returns:
        For each strategy ``strategy``, ``n`` (subjects), ``regret``, ``regret_low``, ``regret_high``, ``share_best``.

    Example:
        >>> table = pd.DataFrame({"subject_id": ["a", "b"], "label": [0, 1], "discard": [0.0, 0.5]})
        >>> (row,) = regret_rows(table, ["discard"])
        >>> row["n"], row["regret"], row["share_best"]
        (2, 0.25, 0.5)
    """
    per_subject = losses.groupby(["subject_id", "label"], observed=True)[strategies].mean()
    label = per_subject.index.get_level_values("label").to_numpy() == 1
    values = per_subject.to_numpy()
    bounds = np.full((2, len(strategies)), np.nan)
    if min(label.sum(), (~label).sum()) > 1:
        means = [counts @ values / len(values) for counts in resampled_counts(label, n_resamples, seed)]
        bounds = np.quantile(np.concatenate(means), [0.025, 0.975], axis=0)
    share = (losses[strategies].to_numpy() <= NO_REGRET).mean(axis=0)
    figures = zip(values.mean(axis=0), *bounds, share, strict=True)
    return [
        {"strategy": name, "n": len(values)}
        | dict(zip(("regret", "regret_low", "regret_high", "share_best"), map(float, own), strict=True))
        for name, own in zip(strategies, figures, strict=True)
    ]


def reward_calibration(candidates: pd.DataFrame, *, n_groups: int = 10) -> tuple[pd.DataFrame, dict[str, float]]:
    """Compare the reward, which sees no label, with the true change of the loss.

    Args:
        candidates: From :func:`candidates_of`.
        n_groups: Number of groups of equal size by reward.

    Returns:
        One row a group, from the lowest reward up: ``n``, ``reward`` and ``gain`` (means), ``gain_low`` and
        ``gain_high`` (95 % of the mean, normal), ``share_helped``. And over all candidates ``n``, the rank correlation
        of reward and gain ``spearman``, and ``auroc`` of the reward for a fusion that helps; nan where undefined.

    Raises:
        ValueError: there is no candidate, or ``n_groups`` is not a positive integer.

    Example:
        >>> tried = pd.DataFrame({"reward": [-0.2, -0.1, 0.1, 0.2], "gain": [-1.0, 0.5, 0.4, 1.0]})
        >>> groups, overall = reward_calibration(tried, n_groups=2)
        >>> groups["gain"].tolist(), round(overall["auroc"], 2)
        ([-0.25, 0.7], 1.0)
    """
    check_positive_int("n_groups", n_groups)
    if candidates.empty:
        raise ValueError(f"a reward needs candidates, however: {len(candidates)}: evaluate greedy or simultaneous")
    reward, gain = (candidates[name].to_numpy(dtype=float) for name in ("reward", "gain"))
    group = np.floor((rankdata(reward, method="min") - 1) * n_groups / len(reward)).astype(int)
    rows = []
    for number in np.unique(group):
        own = gain[group == number]
        half = 1.96 * own.std(ddof=1) / np.sqrt(len(own)) if len(own) > 1 else np.nan
        mean = float(own.mean())
        rows.append((len(own), float(reward[group == number].mean()), mean, mean - half, mean + half, (own > 0).mean()))
    names = ["n", "reward", "gain", "gain_low", "gain_high", "share_helped"]
    varies = len(np.unique(reward)) > 1 and len(np.unique(gain)) > 1
    correlation = float(spearmanr(reward, gain).statistic) if varies else np.nan
    overall = {"n": float(len(reward)), "spearman": correlation, "auroc": _area(gain > 0, reward)}
    return pd.DataFrame(rows, columns=names), overall


def _row(record: dict[str, Any], positive_class: str) -> dict[str, Any]:
    if "label" not in record:
        raise KeyError(
            f"decisions need labels, however: there is none among {sorted(record)}: evaluate labeled subjects"
        )
    if positive_class not in record["probabilities"]:
        raise KeyError(f"class 1 must be one of {sorted(record['probabilities'])}, however: {positive_class!r}")
    names = ("subject_id", "label", "pattern", "strategy")
    row: dict[str, Any] = {name: record[name] for name in names if name in record}
    row |= {"probability": record["probabilities"][positive_class]}
    row |= {"fused": "; ".join(f"{entry['modality']} by {entry['recovery']}" for entry in record["fused"])}
    tried = [(step["before"], candidate) for step in record["steps"] for candidate in step["candidates"]]
    return row | {
        "candidates": [f"{candidate['modality']} by {candidate['recovery']}" for _, candidate in tried],
        "rewards": [candidate["reward"] for _, candidate in tried],
        "probabilities_before": [before["probabilities"][positive_class] for before, _ in tried],
        "probabilities_after": [candidate["probabilities"][positive_class] for _, candidate in tried],
        "accepted": [candidate["accepted"] for _, candidate in tried],
    }


def _loss(label: NDArray[np.bool_], probability: FloatArray) -> FloatArray:
    right = np.where(label, probability, 1 - probability)
    return np.asarray(-np.log(np.clip(right, SMALLEST, 1)))


def _area(helps: NDArray[np.bool_], reward: FloatArray) -> float:
    n_helps = int(helps.sum())
    if not 0 < n_helps < len(helps):
        return np.nan
    return float((rankdata(reward)[helps].sum() - n_helps * (n_helps + 1) / 2) / (n_helps * (len(helps) - n_helps)))
