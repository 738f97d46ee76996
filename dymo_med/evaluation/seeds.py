"""The same comparison under several seeds, as one table with intervals."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import t

__all__ = ["summarize_seeds", "summary_text"]

KEYS = ["model", "pattern", "strategy"]
REQUIRED = ("pattern", "strategy", "accuracy", "difference")


def summarize_seeds(
    models: Mapping[str, Sequence[pd.DataFrame]], published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Average the accuracy of strategies over seeds.

    Args:
        models: By name of a model its tables of :func:`~dymo_med.evaluation.compare_accuracy`, one for each seed.
        published: Figures to stand beside, columns ``model``, ``pattern``, ``strategy`` and ``published`` (accuracy in
            [0, 1]).

    Returns:
        One row a model, pattern and strategy: these, ``n_seeds``, ``accuracy``, ``accuracy_low``, ``accuracy_high``
        (mean over seeds with its 95 % interval by Student's t, cut at 0 and 1), ``difference``, ``difference_low``,
        ``difference_high`` (the same for accuracy minus that of ``discard`` under the same seed), ``published`` (nan
        where there is none). Intervals of a single seed are nan, with a warning.

    Raises:
        KeyError: a column is missing.
        ValueError: there is no table, or the seeds of a model differ in patterns or strategies.

    Example:
        >>> table = pd.DataFrame({"pattern": ["all"], "strategy": ["greedy"], "accuracy": [0.5], "difference": [0.1]})
        >>> seeds = [table, table.assign(accuracy=0.7)]
        >>> summarize_seeds({"ours": seeds})[["n_seeds", "accuracy"]].round(2).values.tolist()
        [[2.0, 0.6]]
    """
    for name, tables in models.items():
        _check(name, tables)
    if not models:
        raise ValueError(f"a summary needs one model or more, however: models={dict(models)}; evaluate first")
    if any(len(tables) == 1 for tables in models.values()):
        warnings.warn("an interval over seeds needs two or more, however: a model has 1; it is nan", stacklevel=2)
    rows = [
        {**dict(zip(KEYS, (name, *keys), strict=True)), **_row(part)}
        for name, tables in models.items()
        for keys, part in pd.concat(tables).groupby(["pattern", "strategy"], sort=False)
    ]
    summary = pd.DataFrame(rows)
    if published is None:
        return summary.assign(published=np.nan)
    return summary.merge(published[[*KEYS, "published"]], on=KEYS, how="left", validate="one_to_one")


def summary_text(summary: pd.DataFrame) -> str:
    """Lay a summary out for people, in percent.

    Args:
        summary: Table of :func:`summarize_seeds`.
    """

    def shown(row: pd.Series, name: str, sign: str) -> str:
        """Show a mean with its interval."""
        value, low, high = (100 * row[part] for part in (name, f"{name}_low", f"{name}_high"))
        if np.isnan(value):
            return "-"
        return f"{value:{sign}.2f}" + ("" if np.isnan(low) else f" ({low:{sign}.2f} to {high:{sign}.2f})")

    text = pd.DataFrame(
        {
            **{name: summary[name] for name in KEYS},
            "seeds": summary["n_seeds"],
            "accuracy % (95 % CI)": summary.apply(shown, axis=1, name="accuracy", sign=""),
            "minus discard (95 % CI)": summary.apply(shown, axis=1, name="difference", sign="+"),
            "published": summary["published"].map(lambda value: "-" if np.isnan(value) else f"{100 * value:.2f}"),
        }
    )
    return text.to_string(index=False) + "\n"


def _row(part: pd.DataFrame) -> dict[str, float]:
    row: dict[str, float] = {"n_seeds": len(part)}
    for name in ("accuracy", "difference"):
        values = part[name].to_numpy(dtype=np.float64)
        half = np.nan
        if len(values) > 1:
            half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        row |= {name: values.mean(), f"{name}_low": values.mean() - half, f"{name}_high": values.mean() + half}
    if len(part) > 1:  # nan stays nan
        row |= {"accuracy_low": max(row["accuracy_low"], 0.0), "accuracy_high": min(row["accuracy_high"], 1.0)}
    return row


def _check(name: str, tables: Sequence[pd.DataFrame]) -> None:
    if not tables:
        raise ValueError(f"a model needs a table of one seed or more, however: {name!r} has {len(tables)}")
    for table in tables:
        absent = [column for column in REQUIRED if column not in table]
        if absent:
            raise KeyError(f"a table needs the columns {list(REQUIRED)}, however: {absent} are absent of {name!r}")
    rows = [sorted(table[["pattern", "strategy"]].itertuples(index=False, name=None)) for table in tables]
    for number, found in enumerate(rows):
        if found != rows[0]:
            different = sorted(set(found) ^ set(rows[0]))[:3]
            raise ValueError(
                f"the seeds of a model must share patterns and strategies, however: table {number} of {name!r} differs "
                f"from table 0 in {different}; evaluate all seeds alike"
            )
