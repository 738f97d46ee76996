"""Is the reward worth its name: reward of a recovered modality against the true change of the loss."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from dymo_med.utils import atomic_path

__all__ = ["first_candidates", "reward_evidence", "write_reward_evidence"]

KEYS = ["pattern", "strategy", "modality", "recovery"]
FLOOR = float(np.finfo(np.float32).tiny)
"""Smallest probability of which a logarithm is taken."""


def first_candidates(decisions_path: str | Path, class_names: Sequence[str]) -> pd.DataFrame:
    """Read from the decisions of an evaluation what was tried first for each sample, and what it did to the loss.

    Args:
        decisions_path: JSON lines of :class:`~dymo_med.handlers.DecisionWriter`, with labels.
        class_names: Names of the classes in order.

    Returns:
        One row a sample and candidate of its first step, as :func:`reward_evidence` takes them.

    Raises:
        FileNotFoundError: there is no such file.
        KeyError: a record has no label.
    """
    decisions_path = Path(decisions_path)
    if not decisions_path.is_file():
        raise FileNotFoundError(f"no decisions at {decisions_path}: evaluate the bundle first")
    with decisions_path.open(encoding="utf-8") as lines:
        rows = [row for line in lines for row in _first_candidates(json.loads(line), class_names)]
    return pd.DataFrame(rows, columns=[*KEYS, "reward", "loss_drop"])


def write_reward_evidence(decisions_path: str | Path, folder: str | Path, class_names: Sequence[str]) -> pd.DataFrame:
    """Read the decisions of an evaluation and write ``rewards.csv``.

    Args:
        decisions_path: As for :func:`first_candidates`.
        folder: Where the table is written, as a whole or not at all.
        class_names: Names of the classes in order.

    Returns:
        The table of :func:`reward_evidence`; without a row where nothing was recovered.

    Raises:
        FileNotFoundError: there is no such file.
        KeyError: a record has no label.
    """
    evidence = reward_evidence(first_candidates(decisions_path, class_names))
    with atomic_path(Path(folder) / "rewards.csv") as temporary:
        evidence.to_csv(temporary, index=False)
    return evidence


def reward_evidence(candidates: pd.DataFrame) -> pd.DataFrame:
    """Hold the rewards of first candidates against what fusing them did to the loss.

    Args:
        candidates: One row a sample and candidate of the first step: ``pattern``, ``strategy``, ``modality``,
            ``recovery``, ``reward``, and ``loss_drop``, the cross-entropy before minus after, in nats.

    Returns:
        One row a pattern, strategy, modality and recovery: ``n``, ``mean_reward``, ``mean_loss_drop``,
        ``rank_correlation`` (Spearman; nan where one of both does not vary), ``share_positive`` (rewards above zero),
        ``helped_if_positive`` and ``helped_otherwise`` (share of those whose loss fell; nan without any).

    Example:
        >>> rows = [("all", "greedy", "m0", "mopoe", reward, drop) for reward, drop in ((0.2, 0.5), (-0.1, -1.0))]
        >>> table = reward_evidence(pd.DataFrame(rows, columns=[*KEYS, "reward", "loss_drop"]))
        >>> table[["n", "mean_loss_drop", "helped_if_positive", "helped_otherwise"]].values.tolist()
        [[2.0, -0.25, 1.0, 0.0]]
    """
    rows = []
    for keys, part in candidates.groupby(KEYS, sort=False):
        positive, helped = part["reward"] > 0, part["loss_drop"] > 0
        varies = len(part) > 1 and part["reward"].nunique() > 1 and part["loss_drop"].nunique() > 1
        rows.append(
            (
                *keys,
                len(part),
                part["reward"].mean(),
                part["loss_drop"].mean(),
                float(spearmanr(part["reward"], part["loss_drop"]).statistic) if varies else math.nan,
                positive.mean(),
                helped[positive].mean(),
                helped[~positive].mean(),
            )
        )
    names = ["n", "mean_reward", "mean_loss_drop", "rank_correlation", "share_positive"]
    return pd.DataFrame(rows, columns=[*KEYS, *names, "helped_if_positive", "helped_otherwise"])


def _first_candidates(record: dict[str, Any], class_names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Give one row for each candidate of the first step of a sample."""
    if not record.get("steps"):
        return []
    if "label" not in record:
        raise KeyError(f"decisions must have labels, however: one holds {sorted(record)}; evaluate with labels")
    name, step = class_names[record["label"]], record["steps"][0]
    before = _log(step["before"]["probabilities"][name])
    head = (record.get("pattern", ""), record["strategy"])
    return [
        (*head, each["modality"], each["recovery"], each["reward"], _log(each["probabilities"][name]) - before)
        for each in step["candidates"]
    ]


def _log(probability: float) -> float:
    return math.log(max(probability, FLOOR))
