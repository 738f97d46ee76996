"""Division of a cohort into training, validation and test subjects."""

import hashlib
import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["DEFAULT_FRACTIONS", "stratified_split"]

DEFAULT_FRACTIONS: Mapping[str, float] = MappingProxyType({"train": 0.72, "val": 0.18, "test": 0.10})
"""The published proportions: a tenth for the test, then a fifth of the rest for validation."""


def stratified_split(
    labels: pd.DataFrame,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    groups: pd.Series | None = None,
) -> pd.Series:
    """Divide subjects so that every split has the same share of each combination of labels.

    Subjects are put in a random order that depends on their pseudonyms and the seed alone, stratum by stratum; each one
    in turn goes to the split that lags most behind its fraction. So row order does not matter, and every split is
    within about one subject (one group) of its share, in each stratum and over all.

    Args:
        labels: (N, L), index = pseudonyms. Each combination of values is a stratum; missing is a value of its own.
        fractions: Share of the subjects by name of the split; they add up to 1.
        seed: Another seed gives another division.
        groups: Subjects with the same value (relatives, one person's visits) stay together; same index as ``labels``.

    Returns:
        Name of the split per subject, index as in ``labels``, named "split".

    Raises:
        ValueError: fractions do not add up to 1, subjects repeat or lack a group, or a split would be empty.

    Example:
        >>> labels = pd.DataFrame({"cad": [0, 1] * 50}, index=[f"S{number}" for number in range(100)])
        >>> stratified_split(labels).value_counts().to_dict()
        {'train': 72, 'val': 18, 'test': 10}
    """
    _check(labels, fractions)
    units = _units(labels, groups, seed)
    names = _assign(units["size"].tolist(), fractions)
    if empty := [name for name in fractions if name not in set(names)]:
        raise ValueError(
            f"every split needs a subject, however: {empty} would have none of {len(labels)} subjects in {len(units)} "
            f"groups with fractions {dict(fractions)}: add subjects or leave the split out"
        )
    by_unit = pd.Series(names, index=units["unit"])
    return pd.Series(by_unit.reindex(_unit_of(labels, groups)).to_numpy(), index=labels.index, name="split")


def _check(labels: pd.DataFrame, fractions: Mapping[str, float]) -> None:
    good = all(0 < share <= 1 for share in fractions.values())
    if not good or not math.isclose(sum(fractions.values()), 1, abs_tol=1e-9):
        raise ValueError(f"fractions must be positive and add up to 1, however: fractions={dict(fractions)}")
    if len(labels) == 0:
        raise ValueError(f"a split needs subjects, however: labels has {len(labels)} rows: prepare a cohort first")
    if repeated := int(labels.index.duplicated().sum()):
        raise ValueError(f"every subject must have one row of labels, however: {repeated} rows repeat a subject")


def _unit_of(labels: pd.DataFrame, groups: pd.Series | None) -> NDArray[np.object_]:
    if groups is None:
        return labels.index.to_numpy(object)
    aligned = groups.reindex(labels.index)
    if lacking := int(aligned.isna().sum()):
        raise ValueError(f"every subject must have a group, however: {lacking} of {len(labels)} have none")
    return aligned.to_numpy(object)


def _units(labels: pd.DataFrame, groups: pd.Series | None, seed: int) -> pd.DataFrame:
    """Give one row per group in the order of assignment: stratum, larger groups first, then the keyed hash."""
    stratum = pd.Series("", index=labels.index)
    for column in labels.columns:
        stratum = stratum + labels[column].astype("string").fillna("?").astype("object") + "/"
    key = f"split {seed}".encode()
    order = [hashlib.blake2b(str(subject).encode(), key=key, digest_size=16).hexdigest() for subject in labels.index]
    rows = pd.DataFrame({"unit": _unit_of(labels, groups), "stratum": stratum.to_numpy(), "order": order})
    units = rows.groupby("unit", sort=False).agg(
        stratum=("stratum", "max"), order=("order", "min"), size=("unit", "size")
    )
    return units.reset_index().sort_values(["stratum", "size", "order"], ascending=[True, False, True], kind="stable")


def _assign(sizes: list[int], fractions: Mapping[str, float]) -> list[str]:
    lag = dict.fromkeys(fractions, 0.0)
    names = []
    for size in sizes:
        for name, share in fractions.items():
            lag[name] += share * size
        chosen = max(lag, key=lambda name: round(lag[name], 9))
        lag[chosen] -= size
        names.append(chosen)
    return names
