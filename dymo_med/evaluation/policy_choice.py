"""The policy of selection chosen on validation subjects: weight of similarity and threshold on the reward."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dymo_med.evaluation.discrimination import delong
from dymo_med.evaluation.figures import MIN_PER_CLASS
from dymo_med.evaluation.inputs import check_predictions
from dymo_med.inferers.policy import FORMAT, OTHERWISE, VERSION, Policy
from dymo_med.utils import ICSWeight, Strategy, write_json

__all__ = ["THRESHOLDS", "PolicyChoice", "choose_policy", "policy_grid"]

THRESHOLDS = (-math.inf, -0.2, -0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1, 0.2, math.inf)
"""Rewards that are tried; the infinite ones fuse everything and nothing."""
STANDARD_ERRORS = 2.0
"""How many standard errors a finite threshold must gain over the better infinite one: validation subjects are few, and
with three weights the best of 27 thresholds is taken, which gains one by chance often."""
CELL = ["mechanism", "rate", "seed"]


@dataclass(frozen=True)
class PolicyChoice:
    """A policy and why it was chosen.

    Args:
        policy: The policy.
        evidence: One row a situation, form of the weight and threshold: ``situation``, ``n_cells`` (missing patterns),
            ``n_rows``, ``ics_weight``, ``threshold``, ``auroc`` (mean over cells), ``gain`` over the better of fusing
            nothing and everything, ``gain_error`` (its standard error), ``is_chosen``.

    Example:
        >>> PolicyChoice(Policy("discard"), pd.DataFrame()).policy.strategy.value
        'discard'
    """

    policy: Policy
    evidence: pd.DataFrame

    def to_json(self, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
        """Write policy and evidence, for :func:`dymo_med.inferers.read_policy` and for people.

        Args:
            path: File to write, as a whole or not at all; in the bundle beside the weights.
            about: What else to record, such as the digest of the validation split; plain values.
        """
        evidence = self.evidence.astype({"threshold": str}) if "threshold" in self.evidence else self.evidence
        rows = evidence.astype(object).where(evidence.notna(), None).to_dict("records")
        content = {"format": FORMAT, "version": VERSION, "policy": self.policy.to_record(), "about": dict(about or {})}
        write_json(path, content | {"evidence": rows})


def policy_grid(thresholds: Sequence[float] = THRESHOLDS) -> dict[str, Policy]:
    """Name the policies that are tried: discard, fuse_all, and greedy with every weight and threshold.

    Args:
        thresholds: Thresholds on the reward.

    Example:
        >>> list(policy_grid([0.0]))
        ['discard', 'fuse_all', 'greedy none 0.0', 'greedy ratio 0.0', 'greedy log_ratio 0.0']
    """
    fixed = {str(strategy): Policy(strategy) for strategy in (Strategy.DISCARD, Strategy.FUSE_ALL)}
    greedy = {
        f"greedy {form.value} {threshold}": Policy("greedy", form, threshold)
        for form in ICSWeight
        for threshold in thresholds
    }
    return fixed | greedy


@dataclass(frozen=True)
class _Measured:
    """What all policies reach in one situation."""

    situation: str
    n_cells: int
    n_rows: int
    area: pd.Series  # by policy, mean over cells
    spread: pd.DataFrame  # policy by policy, standard error of the difference of their areas


def choose_policy(
    predictions: pd.DataFrame, policies: Mapping[str, Policy], *, standard_errors: float = STANDARD_ERRORS
) -> PolicyChoice:
    """Choose weight and thresholds on validation subjects, for every situation of what was observed.

    For each situation a finite threshold is taken only where its AUROC, averaged over the missing patterns in which the
    situation occurs, exceeds that of the better of fusing nothing and fusing everything by so many standard errors; so
    on these subjects the choice is never worse than either. Of the weights, the one with the highest mean over
    situations (each by its number of rows) is taken, the simpler one on a tie. Where several recoveries compete,
    discard and fuse_all itself (which takes the first recovery) replace the choice if they are better on the whole.

    Args:
        predictions: A sweep over validation subjects, never test subjects, with one set of recoveries and the policies
            of :func:`policy_grid` as strategies.
        policies: The policies by name.
        standard_errors: How many standard errors a finite threshold must gain; infinite allows none.

    Returns:
        The policy with its evidence.

    Raises:
        KeyError: a column is missing.
        ValueError: ``standard_errors`` is negative or nan, a policy is absent, there are several sets of recoveries, or
            no situation has enough subjects of both classes.
    """
    if not standard_errors >= 0:
        raise ValueError(f"standard_errors must be 0 or more, however: standard_errors={standard_errors!r}")
    made = predictions[predictions["probability"].notna()] if "probability" in predictions else predictions
    check_predictions(made, ["subject_id", *CELL, "strategy"], ["situation", "recovery"])
    _check_grid(made, policies)
    measured = [_measure(str(situation), rows) for situation, rows in made.groupby("situation", observed=True)]
    known = [each for each in measured if each is not None]
    if not known:
        raise ValueError(
            f"a policy needs {MIN_PER_CLASS} validation subjects of each class in a situation, however: none of "
            f"{len(measured)} situations has them: use a larger validation set"
        )
    evidence = pd.concat(
        [_choose_threshold(each, policies, form, standard_errors) for form in ICSWeight for each in known]
    )
    chosen = evidence[evidence["is_chosen"]]
    reached = {form: _on_the_whole(chosen[chosen["ics_weight"] == form]) for form in ICSWeight}
    best = max(ICSWeight, key=lambda form: reached[form])  # the first, simplest one on a tie
    own = chosen[chosen["ics_weight"] == best]
    limits = {str(row["situation"]): float(row["threshold"]) for _, row in own.iterrows()}
    usual = max(known, key=lambda each: each.n_rows).situation
    policy = Policy("greedy", best, limits | {OTHERWISE: limits[usual]})
    evidence["is_chosen"] &= evidence["ics_weight"] == best
    total = sum(each.n_rows for each in known)
    for strategy in (Strategy.DISCARD, Strategy.FUSE_ALL):
        fixed = sum(each.area[strategy] * each.n_rows for each in known) / total
        if fixed > reached[best] + 1e-12:
            policy, reached[best], evidence["is_chosen"] = Policy(strategy), fixed, False
    return PolicyChoice(policy, evidence.reset_index(drop=True))


def _measure(situation: str, rows: pd.DataFrame) -> _Measured | None:
    """Measure all policies on the cells that have enough subjects of both classes; None where no cell has."""
    areas, spreads, n_rows = [], [], 0
    for _, cell in rows.groupby(CELL, observed=True):
        wide = cell.pivot(index=["subject_id", "label"], columns="strategy", values="probability").dropna()
        label = wide.index.get_level_values("label").to_numpy() == 1
        if min(label.sum(), (~label).sum()) < MIN_PER_CLASS:
            continue
        area, covariance = delong(label, wide.to_numpy().T)
        variance = np.diag(covariance)
        square = np.maximum(variance[:, None] + variance - 2 * covariance, 0)
        areas.append(pd.Series(area, index=wide.columns.astype(str)))
        spreads.append(pd.DataFrame(np.sqrt(square), index=areas[-1].index, columns=areas[-1].index))
        n_rows += len(wide)
    if not areas:
        return None
    # subjects are the same in all cells: errors are averaged as if wholly dependent, which is the cautious side
    mean_area = pd.concat(areas, axis=1).mean(axis=1)
    spread = pd.concat(spreads).groupby(level=0, sort=False).mean()
    return _Measured(situation, len(areas), n_rows, mean_area, spread)


def _choose_threshold(
    measured: _Measured, policies: Mapping[str, Policy], form: ICSWeight, standard_errors: float
) -> pd.DataFrame:
    names = _greedy(policies, form)
    nothing, everything = names[math.inf], names[-math.inf]
    fixed = everything if measured.area[everything] > measured.area[nothing] else nothing
    gain = {limit: float(measured.area[name] - measured.area[fixed]) for limit, name in names.items()}
    error = {limit: float(measured.spread[fixed][name]) for limit, name in names.items()}
    enough = {limit: gain[limit] > 0 and gain[limit] >= standard_errors * error[limit] for limit in names}
    finite = [limit for limit in names if math.isfinite(limit) and enough[limit]]
    best = max(finite, key=lambda limit: gain[limit]) if finite else (math.inf if fixed == nothing else -math.inf)
    rows = [
        {
            "situation": measured.situation,
            "n_cells": measured.n_cells,
            "n_rows": measured.n_rows,
            "ics_weight": form.value,
            "threshold": limit,
            "auroc": float(measured.area[name]),
            "gain": gain[limit],
            "gain_error": error[limit],
            "is_chosen": limit == best,
        }
        for limit, name in names.items()
    ]
    return pd.DataFrame(rows)


def _on_the_whole(chosen: pd.DataFrame) -> float:
    return float((chosen["auroc"] * chosen["n_rows"]).sum() / chosen["n_rows"].sum())


def _greedy(policies: Mapping[str, Policy], form: ICSWeight) -> dict[float, str]:
    """Give the names of the greedy policies with a weight, by their threshold."""
    return {
        float(policy.threshold): name
        for name, policy in policies.items()
        if policy.strategy == Strategy.GREEDY
        and policy.ics_weight == form
        and not isinstance(policy.threshold, Mapping)
    }


def _check_grid(predictions: pd.DataFrame, policies: Mapping[str, Policy]) -> None:
    absent = sorted(set(policies) - set(predictions["strategy"].unique()))
    n_sets = predictions["recovery"].nunique()
    if absent or n_sets != 1:
        raise ValueError(
            f"a policy is chosen from predictions of every policy with one set of recoveries, however: {absent[:3]} "
            f"are absent, {n_sets} sets: sweep the validation set with policy_grid()"
        )
    needed = {str(Strategy.DISCARD), str(Strategy.FUSE_ALL)} - policies.keys()
    for form in ICSWeight:
        needed |= {f"{form.value} {limit}" for limit in {math.inf, -math.inf} - _greedy(policies, form).keys()}
    if needed:
        raise ValueError(
            f"the choice is among discard, fuse_all and every weight with both infinite thresholds, however: "
            f"{sorted(needed)} are absent: use policy_grid()"
        )
