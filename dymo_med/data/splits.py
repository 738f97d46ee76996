"""Division of a cohort into training, validation and test subjects."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

__all__ = ["DEFAULT_FRACTIONS", "published_split", "stratified_split"]

DEFAULT_FRACTIONS: Mapping[str, float] = MappingProxyType({"train": 0.72, "val": 0.18, "test": 0.10})
"""The published proportions: a tenth for the test, then a fifth of the rest for validation."""

_PUBLISHED_TEST, _PUBLISHED_VALIDATION, _PUBLISHED_SEED = 0.1, 0.2, 2022


def stratified_split(
    labels: pd.DataFrame,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    groups: pd.Series | None = None,
    keep: pd.Series | None = None,
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
        keep: Splits that some subjects have already, as in an earlier cohort; they and their groups stay there.

    Returns:
        Name of the split per subject, index as in ``labels``, named "split".

    Raises:
        ValueError: fractions do not add up to 1, subjects repeat or lack a group, a split would be empty, or a group
            has two splits already.

    Example:
        >>> labels = pd.DataFrame({"cad": [0, 1] * 50}, index=[f"S{number}" for number in range(100)])
        >>> stratified_split(labels).value_counts().to_dict()
        {'train': 72, 'val': 18, 'test': 10}
    """
    _check(labels, fractions)
    units = _units(labels, groups, seed, _kept(labels, groups, keep, fractions))
    names = _assign(units["size"].tolist(), units["kept"].tolist(), fractions)
    if empty := [name for name in fractions if name not in set(names)]:
        raise ValueError(
            f"every split needs a subject, however: {empty} would have none of {len(labels)} subjects in {len(units)} "
            f"groups with fractions {dict(fractions)}: add subjects or leave the split out"
        )
    by_unit = pd.Series(names, index=units["unit"])
    return pd.Series(by_unit.reindex(_unit_of(labels, groups)).to_numpy(), index=labels.index, name="split")


def published_split(subjects: Sequence[str]) -> pd.Series:
    """Divide subjects as the published cohort was, which depends on their order and on nothing they have.

    A tenth at random for the test, then a fifth of the rest for validation. For comparison alone: the split is neither
    stratified nor aware of relatives, and another order of rows gives another one.

    Args:
        subjects: Subjects in the order of the table's rows.

    Returns:
        Name of the split per subject, index as given, named "split".

    Example:
        >>> published_split([f"S{number}" for number in range(100)]).value_counts().to_dict()
        {'train': 72, 'val': 18, 'test': 10}
    """
    rest, test = train_test_split(list(subjects), test_size=_PUBLISHED_TEST, random_state=_PUBLISHED_SEED)
    _, validation = train_test_split(rest, test_size=_PUBLISHED_VALIDATION, random_state=_PUBLISHED_SEED)
    split = pd.Series("train", index=pd.Index(list(subjects), dtype="str"), name="split")
    split[validation], split[test] = "val", "test"
    return split


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


def _kept(
    labels: pd.DataFrame, groups: pd.Series | None, keep: pd.Series | None, fractions: Mapping[str, float]
) -> pd.Series:
    """Give the split that a group has already, by group."""
    if keep is None:
        return pd.Series(dtype="object")
    known = keep[keep.index.isin(labels.index)]
    if unknown := sorted(set(known) - set(fractions)):
        raise ValueError(
            f"splits to keep must be among {list(fractions)}, however: {unknown}: pass a cohort that was divided so"
        )
    unit_of = pd.Series(_unit_of(labels, groups), index=labels.index)
    by_unit = known.groupby(unit_of[known.index].to_numpy())
    if torn := int((by_unit.nunique() > 1).sum()):
        raise ValueError(
            f"a group must lie in one split, however: {torn} of {by_unit.ngroups} groups have two already: "
            "divide all subjects anew, or leave the groups out"
        )
    return by_unit.first()


def _units(labels: pd.DataFrame, groups: pd.Series | None, seed: int, kept: pd.Series) -> pd.DataFrame:
    """Give one row per group in the order of assignment.

    Stratum by stratum: groups with a split, then larger groups first, then the keyed hash.
    """
    stratum = pd.Series("", index=labels.index)
    for column in labels.columns:
        stratum = stratum + labels[column].astype("string").fillna("?").astype("object") + "/"
    key = f"split {seed}".encode()
    order = [hashlib.blake2b(str(subject).encode(), key=key, digest_size=16).hexdigest() for subject in labels.index]
    rows = pd.DataFrame({"unit": _unit_of(labels, groups), "stratum": stratum.to_numpy(), "order": order})
    units = rows.groupby("unit", sort=False).agg(
        stratum=("stratum", "max"), order=("order", "min"), size=("unit", "size")
    )
    units["kept"] = kept.reindex(units.index).astype("object").where(lambda name: name.notna(), None)
    units["is_new"] = units["kept"].isna()
    order = ["stratum", "is_new", "size", "order"]
    return units.reset_index().sort_values(order, ascending=[True, True, False, True], kind="stable")


def _assign(sizes: list[int], kept: list[str | None], fractions: Mapping[str, float]) -> list[str]:
    lag = dict.fromkeys(fractions, 0.0)
    names = []
    for size, known in zip(sizes, kept, strict=True):
        for name, share in fractions.items():
            lag[name] += share * size
        chosen = known or max(lag, key=lambda name: round(lag[name], 9))
        lag[chosen] -= size
        names.append(chosen)
    return names
