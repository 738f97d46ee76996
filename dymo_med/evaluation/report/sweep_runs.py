"""A sweep in MLflow: tables and figures on its own run, and nested in it one run for each strategy and recovery."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dymo_med.evaluation.report.cohort_page import MIN_COUNT
from dymo_med.evaluation.report.disclosing import disclosure_for
from dymo_med.evaluation.report.suppression import HIDDEN, suppress
from dymo_med.evaluation.report.sweep_results import AUTO, SweepResults
from dymo_med.evaluation.report.wording import Disclosure
from dymo_med.handlers import MLflowRun
from dymo_med.tracking.naming import metric_name
from dymo_med.utils import Strategy

__all__ = ["exported_tables", "log_sweep"]

NATURAL = "nothing hidden"
"""Figures of merit at rate 0 are metrics of this group."""
_GAINS = {f"over_{reference}": f"gain_over_{reference}" for reference in (Strategy.DISCARD, Strategy.FUSE_ALL)}
_DECISIONS = {"fused": "fused_rightly", "rejected": "kept_out_rightly"}
_SUMMARY = ("auroc", "auprc", "brier")
"""Figures of the chosen policy with nothing hidden that the run of the sweep holds itself."""
_ABOUT = (
    "One strategy of a sweep over test subjects. Metrics are grouped by what was hidden; the step is the missing rate "
    "in percent. Figures of few subjects are not sent."
)
_SENSITIVITY = "sensitivity"


def log_sweep(run: MLflowRun, results: SweepResults, figures_dir: str | Path, *, min_count: int = MIN_COUNT) -> None:
    """Log a finished sweep: tables and figures on the run, and a nested run for each strategy and set of recoveries.

    All that is logged obeys the rule of the export form of the report: aggregates, small counts and what would tell
    them withheld. A run that goes on logs no nested run twice.

    Args:
        run: Run of the sweep.
        results: The sweep.
        figures_dir: Figures of the export form, beside its page.
        min_count: Smallest count to tell.

    Raises:
        ValueError: ``min_count`` is not a positive integer.
    """
    tables = exported_tables(results, min_count)
    patterns = _patterns(results)
    run.log_tags({"missing_patterns": patterns})
    own = _of(tables["figures"], results.recovery, AUTO)
    run.log_metrics(_defined({f"summary/{row['figure']}": row["value"] for row in own if row["figure"] in _SUMMARY}))
    for name, table in tables.items():
        if not table.empty:
            run.log_table(name, table)
    for path in sorted(Path(figures_dir).glob("*.png")):
        run.log_file(path, "figures")
    several = len(results.settings["recoveries"]) > 1
    for recovery in results.settings["recoveries"]:
        for strategy, policy in results.settings["policies"].items():
            run.log_child(
                f"{strategy}{f' by {recovery}' if several else ''} {results.task}",
                {"policy": strategy, "recovery": recovery, **policy, "threshold": _thresholds(policy["threshold"])},
                _metrics(tables, recovery, strategy),
                tags={"missing_patterns": patterns},
                about=_ABOUT,
            )


def exported_tables(results: SweepResults, min_count: int = MIN_COUNT) -> dict[str, pd.DataFrame]:
    """Give the tables of a sweep as they may leave the place of the cohort.

    Args:
        results: The sweep.
        min_count: Smallest count to tell; a candidate of the selection counts once for every draw of the gaps, so the
            limit of their counts is as many times larger.

    Returns:
        By name: ``sweep``, ``figures``, ``calibration``, ``fusions``, ``regret``, ``rewards``, ``references``,
        ``subgroups``; what is withheld is nan, and ``reason``, where the table has one, says so.

    Raises:
        ValueError: ``min_count`` is not a positive integer.
    """
    disclosure = disclosure_for(results, min_count)
    tables = results.tables
    per_pattern, over_all = (
        Disclosure(1 if min_count == 1 else min_count * n) for n in (len(results.seeds), len(results.settings["cells"]))
    )
    return {
        "sweep": _sweep(tables["sweep"], disclosure),
        **{name: _figures(tables[name], disclosure) for name in ("figures", "calibration", "references")},
        "fusions": _fusions(tables["fusions"], per_pattern),
        "regret": _regret(tables["regret"], disclosure, per_pattern),
        "rewards": _rewards(tables["rewards"], over_all),
        "subgroups": _figures(tables["subgroups"], disclosure),
    }


def _sweep(table: pd.DataFrame, disclosure: Disclosure) -> pd.DataFrame:
    small = disclosure.hides_classes(table["n"], table["n_positive"])
    shown = _withheld(table, small, [name for name in map(str, table) if name.startswith(("auroc", "over_"))])
    tells = small | _each(disclosure.hides, table["n_not_predicted"]) | disclosure.hides_sizes
    return _withheld(shown, tells, ["n", "n_positive", "n_not_predicted"], reason="")


def _figures(table: pd.DataFrame, disclosure: Disclosure) -> pd.DataFrame:
    """Withhold figures of small classes, and sensitivities that tell a small count."""
    small = disclosure.hides_classes(table["n"], table["n_positive"]) & table["n"].notna()
    tells = table["figure"].str.startswith(_SENSITIVITY) & table["value"].notna()
    tells &= _each(disclosure.hides_share, table["value"], table["n_positive"])
    shown = _withheld(table, small | tells, ["value", "low", "high"])
    return _withheld(shown, small | disclosure.hides_sizes, ["n", "n_positive"])


def _fusions(table: pd.DataFrame, limit: Disclosure) -> pd.DataFrame:
    """Withhold a pattern and rate with a small count, and another rate where one alone could be worked out."""
    if table.empty:
        return table
    numbers = [name for name in map(str, table) if name.startswith(("n", "share_right", "mean_gain"))]
    is_hidden = pd.Series(False, index=table.index)
    for _, rows in table.groupby(["mechanism", "recovery", "strategy"], sort=False):
        cells = rows.assign(
            small=_each(limit.hides, rows["n_right"], rows["n"] - rows["n_right"]),
        ).groupby("rate", sort=False)
        small, n = cells["small"].any(), cells["n"].sum()
        hidden = suppress(n.to_numpy(np.int64), [range(len(n))], 1, hidden=small.to_numpy(np.bool_))
        is_hidden.loc[rows.index] = rows["rate"].isin(n.index[hidden])
    return _withheld(table, is_hidden.to_numpy(np.bool_), numbers)


def _regret(table: pd.DataFrame, disclosure: Disclosure, per_pattern: Disclosure) -> pd.DataFrame:
    """Withhold what few subjects make up; how many there are stands in the table of the sweep."""
    shown = _withheld(table, _each(disclosure.hides, table["n"]), ["regret", "regret_low", "regret_high", "share_best"])
    n_draws = table["n"] * (per_pattern.min_count / disclosure.min_count)
    tells = _each(per_pattern.hides_share, table["share_best"], n_draws)
    return _withheld(shown, tells, ["share_best"]).drop(columns="n")


def _rewards(table: pd.DataFrame, limit: Disclosure) -> pd.DataFrame:
    if table.empty:
        return table
    numbers = ["n", "reward", "gain", "gain_low", "gain_high", "share_helped"]
    shown = _withheld(table, _each(limit.hides, table["n"]), numbers)
    return _withheld(shown, _each(limit.hides_share, table["share_helped"], table["n"]), ["share_helped"])


def _each(hides: Callable[..., bool], *columns: pd.Series) -> NDArray[np.bool_]:
    """Tell row by row what is hidden."""
    return np.array([hides(*row) for row in zip(*columns, strict=True)], dtype=np.bool_)


def _withheld(table: pd.DataFrame, is_hidden: Any, names: list[str], reason: str = HIDDEN) -> pd.DataFrame:
    """Empty some columns of some rows."""
    shown = table.assign(**{name: table[name].mask(is_hidden) for name in names})
    if reason and "reason" in table:
        shown["reason"] = table["reason"].mask(is_hidden & (table["reason"] == ""), reason)
    return shown


def _metrics(tables: Mapping[str, pd.DataFrame], recovery: str, strategy: str) -> dict[int, dict[str, float]]:
    """Give the numbers of one strategy by missing rate in percent."""
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for row in _of(tables["figures"], recovery, strategy):
        ends = {"": row["value"], "_low": row["low"], "_high": row["high"]}
        found[0] |= {metric_name(f"{NATURAL}/{row['figure']}{end}"): value for end, value in ends.items()}
    for row in _of(tables["sweep"], recovery, strategy):
        found[_percent(row)] |= _with_bounds(row, {"auroc": "auroc", **_GAINS})
    for row in _of(tables["regret"], recovery, strategy):
        found[_percent(row)] |= _with_bounds(row, {"regret": "regret"})
    for row in _of(tables["fusions"], recovery, strategy):
        found[_percent(row)][_name(row, _DECISIONS[row["decision"]])] = row["share_right"]
    return {step: _defined(values) for step, values in sorted(found.items())}


def _of(table: pd.DataFrame, recovery: str, strategy: str) -> list[dict[Any, Any]]:
    if table.empty:
        return []
    return table[(table["recovery"] == recovery) & (table["strategy"] == strategy)].to_dict("records")


def _with_bounds(row: Mapping[Any, Any], names: Mapping[str, str]) -> dict[str, float]:
    return {_name(row, title + end): row[name + end] for name, title in names.items() for end in ("", "_low", "_high")}


def _name(row: Mapping[Any, Any], figure: str) -> str:
    return metric_name(f"{row['mechanism']}/{figure}")


def _percent(row: Mapping[Any, Any]) -> int:
    return round(100 * float(row["rate"]))


def _defined(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if not pd.isna(value)}


def _patterns(results: SweepResults) -> str:
    """Say what was hidden on purpose."""
    mechanisms = ", ".join(results.settings["mechanisms"])
    rates = ", ".join(f"{100 * rate:g}" for rate in dict.fromkeys(cell[1] for cell in results.settings["cells"]))
    return f"hidden on purpose: {mechanisms}; {rates} %; {len(results.seeds)} draws"


def _thresholds(limits: Mapping[str, float | str]) -> str:
    """Give thresholds in one line: MLflow's names take no commas, so that situations cannot be parameters."""
    if len(limits) == 1:
        return str(next(iter(limits.values())))
    return "; ".join(f"{situation}: {limit}" for situation, limit in limits.items())
