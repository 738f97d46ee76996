"""Which subjects stand for the others in a report, by a rule, and what a sweep hid of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dymo_med.evaluation.report.sweep_results import AUTO
from dymo_med.evaluation.sweep import Cell, Mechanism
from dymo_med.evaluation.sweep.cells import hide
from dymo_med.utils import Strategy

__all__ = ["choose_cases", "hidden_cells"]

BoolArray = NDArray[np.bool_]
_KEY = ["subject_id", "mechanism", "rate"]
_SMALLEST = 1e-7
_SMALLEST_SHOWN = 0.001
"""Differences of losses below it are 0 in the report; some are rounding alone."""


def choose_cases(predictions: pd.DataFrame, strategy: str = AUTO) -> pd.DataFrame:
    """Choose a handful of predictions by a rule that looks at nothing but losses.

    Against ``discard``, the loss of the same subject without anything recovered, of predictions that fused something:
    the largest gain, the largest harm, the median. Against ``fuse_all``, of those that kept something out: the largest
    harm avoided, the largest gain missed. No subject twice; where no difference reaches 0.001, there is no such case.

    Args:
        predictions: One draw of a sweep with strategies ``discard``, ``fuse_all`` and ``strategy``.
        strategy: Whose predictions are shown.

    Returns:
        One row a case: ``case`` (why it was chosen), ``difference`` of the losses, and the columns of ``predictions``.

    Example:
        >>> rows = [("a", "discard", 0.2, ""), ("a", "fuse_all", 0.9, "t"), ("a", "auto", 0.9, "t")]
        >>> one = pd.DataFrame(rows, columns=["subject_id", "strategy", "probability", "fused"])
        >>> choose_cases(one.assign(label=1, mechanism="m", rate=0.5))[["case", "difference"]].round(2).values.tolist()
        [['largest gain', -1.5]]
    """
    label = predictions["label"].to_numpy() == 1
    right = np.where(label, predictions["probability"], 1 - predictions["probability"])
    losses = predictions.assign(loss=-np.log(np.clip(right, _SMALLEST, 1)))
    wide = losses.pivot_table(index=_KEY, columns="strategy", values="loss", observed=True)
    own = losses[losses["strategy"] == strategy].set_index(_KEY)
    over_discard, over_all = (
        own["loss"] - wide[name].reindex(own.index) for name in (Strategy.DISCARD, Strategy.FUSE_ALL)
    )
    made = over_discard[own["fused"] != ""].sort_values(kind="stable")
    kept = over_all[own["fused"] == ""].sort_values(kind="stable")
    middle = made.iloc[(made - made.median()).abs().argsort(kind="stable")] if len(made) else made
    rules = (
        ("largest gain", made[made < -_SMALLEST_SHOWN]),
        ("largest harm", made[made > _SMALLEST_SHOWN][::-1]),
        ("median of what was fused", middle),
        ("largest harm avoided", kept[kept < -_SMALLEST_SHOWN]),
        ("largest gain missed", kept[kept > _SMALLEST_SHOWN][::-1]),
    )
    rows: list[dict[str, object]] = []
    seen: set[str] = set()
    for case, ranked in rules:
        left = ranked[~ranked.index.get_level_values("subject_id").isin(seen)]
        if len(left):
            key = left.index[0]
            seen.add(key[0])
            head = {"case": case, "difference": float(left.iloc[0]), **dict(zip(_KEY, key, strict=True))}
            rows.append(head | {name: value for name, value in own.loc[key].items() if name != "loss"})
    return pd.DataFrame(rows)


def hidden_cells(
    settings: Mapping[str, Any], item: Mapping[str, Any], case: Mapping[str, Any], modality: str, natural: BoolArray
) -> BoolArray:
    """Draw again what a sweep hid of one modality of a subject.

    Args:
        settings: Record of the sweep, ``sweep.json``.
        item: The subject as :meth:`~dymo_med.data.cohort.Cohort.items` gives it.
        case: Has ``mechanism``, ``rate`` and ``seed``.
        modality: Name of the modality.
        natural: (P,) gaps by nature, True = absent.

    Returns:
        (P,) True = absent, natural gaps included.

    Example:
        >>> record = {"mechanisms": {"all": {"modality": "table", "pattern": "value", "families": None, "order": None}}}
        >>> case = {"mechanism": "all", "rate": 1.0, "seed": 1}
        >>> hidden_cells(record, {"subject_id": "a"}, case, "table", np.zeros(2, dtype=bool)).tolist()
        [True, True]
    """
    made = Mechanism(**settings["mechanisms"][case["mechanism"]])
    if made.modality != modality:
        return natural
    cell = Cell(str(case["mechanism"]), float(case["rate"]), int(case["seed"]))
    hidden: BoolArray = hide(cell, made, [str(item["subject_id"])], natural[None])[0]
    return hidden
