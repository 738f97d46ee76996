"""Strategies of fusion side by side: discrimination for every pattern of missing parts."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from dymo_med.evaluation.discrimination import PairedDifference, auroc_interval, paired_auroc_test
from dymo_med.evaluation.inputs import check_predictions, check_same_subjects
from dymo_med.evaluation.multiplicity import holm
from dymo_med.utils.enums import Strategy
from dymo_med.utils.files import atomic_path, write_text

__all__ = ["compare_pairs", "compare_strategies", "write_comparison"]

KEYS = ("subject_id", "pattern", "strategy")
REQUIRED = ("subject_id", "pattern", "strategy", "label", "probability", "fused")
UNDEFINED = PairedDifference(np.nan, np.nan, np.nan, np.nan)


def compare_strategies(predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare fusion strategies on the same subjects, pattern by pattern.

    Args:
        predictions: One row a subject, pattern and strategy, with the columns
            ``subject_id``; ``pattern``, what was missing, in any words; ``strategy``; ``label``, 0 or 1;
            ``probability`` of the positive class, in [0, 1]; ``fused``, a text that is the same exactly when the same
            proposals were fused (empty for none).

    Returns:
        One row a pattern and strategy, in order of appearance, with the columns ``pattern``, ``strategy``, ``n``,
        ``n_positive``, ``auroc``, ``auroc_low``, ``auroc_high`` (95 % interval, DeLong),
        ``share_not_fuse_all`` (share of subjects whose fused set differs from that of ``fuse_all``),
        ``difference`` (area minus that of ``discard``), ``difference_low``, ``difference_high``, ``p_value``,
        ``p_holm`` (the p value adjusted for all comparisons of the table, Holm). Columns that need ``fuse_all`` or
        ``discard`` are nan where the pattern has no such strategy; differences are nan for ``discard`` itself.

    Raises:
        KeyError: a column is missing.
        ValueError: there is no row, a cell is empty, a label or probability is out of range, a subject occurs twice, or
            the strategies of a pattern do not share subjects and labels.

    Example:
        >>> rows = [("a", 0, 0.2), ("b", 1, 0.6), ("c", 0, 0.4), ("d", 1, 0.3)]
        >>> table = pd.DataFrame(rows, columns=["subject_id", "label", "probability"])
        >>> table = table.assign(pattern="no table", strategy="discard", fused="")
        >>> compare_strategies(table)[["strategy", "n", "n_positive", "auroc"]].values.tolist()
        [['discard', 4, 2, 0.75]]
    """
    check_predictions(predictions, KEYS, REQUIRED)
    rows = []
    for pattern, of_pattern in predictions.groupby("pattern", sort=False):
        tables = _by_strategy(of_pattern)
        check_same_subjects(str(pattern), tables)
        rows += [{"pattern": pattern, "strategy": strategy, **_row(strategy, tables)} for strategy in tables]
    comparison = pd.DataFrame(rows)
    return comparison.assign(p_holm=holm(comparison["p_value"]))


def compare_pairs(predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare every strategy with every other one on the same subjects, pattern by pattern.

    Args:
        predictions: As for :func:`compare_strategies`; ``fused`` is not needed.

    Returns:
        One row a pattern and pair: ``pattern``, ``strategy_a``, ``strategy_b``, ``n``, ``difference`` (area of a minus
        area of b), ``low``, ``high`` (95 %, DeLong), ``p_value``, ``p_holm`` (adjusted for all rows of the table).

    Raises:
        KeyError: a column is missing.
        ValueError: as for :func:`compare_strategies`.

    Example:
        >>> rows = [("a", 0, 0.2), ("b", 1, 0.6), ("c", 0, 0.4), ("d", 1, 0.3)]
        >>> one = pd.DataFrame(rows, columns=["subject_id", "label", "probability"]).assign(pattern="no table")
        >>> both = pd.concat([one.assign(strategy="discard"), one.assign(strategy="greedy", probability=one["label"])])
        >>> compare_pairs(both)[["strategy_a", "strategy_b", "difference"]].values.tolist()
        [['discard', 'greedy', -0.25]]
    """
    check_predictions(predictions, KEYS)
    rows = []
    for pattern, of_pattern in predictions.groupby("pattern", sort=False):
        tables = _by_strategy(of_pattern)
        check_same_subjects(str(pattern), tables)
        for a, b in combinations(tables, 2):
            result = paired_auroc_test(tables[a]["label"], tables[a]["probability"], tables[b]["probability"])
            rows.append((pattern, a, b, len(tables[a]), result.difference, result.low, result.high, result.p_value))
    names = ["pattern", "strategy_a", "strategy_b", "n", "difference", "low", "high", "p_value"]
    pairs = pd.DataFrame(rows, columns=names)
    return pairs.assign(p_holm=holm(pairs["p_value"]))


def write_comparison(predictions_path: str | Path, folder: str | Path) -> pd.DataFrame:
    r"""Compare the strategies of a predictions file and write ``comparison.csv`` and ``comparison.txt``.

    Args:
        predictions_path: CSV with the columns that :func:`compare_strategies` takes.
        folder: Where both files are written, each as a whole or not at all.

    Returns:
        The comparison.

    Raises:
        FileNotFoundError: there is no predictions file.
        KeyError: a column is missing.
        ValueError: as for :func:`compare_strategies`.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> row = "{},no table,greedy,{},0.{},\n"
        >>> text = "".join(row.format(subject, subject % 2, 3 + subject) for subject in range(4))
        >>> _ = (folder / "all.csv").write_text("subject_id,pattern,strategy,label,probability,fused\n" + text)
        >>> float(write_comparison(folder / "all.csv", folder / "report")["auroc"].item())
        0.75
    """
    predictions_path, folder = Path(predictions_path), Path(folder)
    if not predictions_path.is_file():
        raise FileNotFoundError(f"no predictions at {predictions_path}: evaluate the bundle first")
    predictions = pd.read_csv(
        predictions_path,
        dtype={"subject_id": str, "pattern": str, "strategy": str, "fused": str},
        keep_default_na=False,  # an empty text in `fused` means that nothing was fused
        na_values={"label": [""], "probability": ["", "nan"]},
    )
    comparison = compare_strategies(predictions)
    with atomic_path(folder / "comparison.csv") as temporary:
        comparison.to_csv(temporary, index=False)
    write_text(folder / "comparison.txt", _as_text(comparison))
    return comparison


def _by_strategy(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {
        str(strategy): rows.set_index("subject_id").sort_index()
        for strategy, rows in predictions.groupby("strategy", sort=False)
    }


def _row(strategy: str, tables: dict[str, pd.DataFrame]) -> dict[str, float | int]:
    table = tables[strategy]
    area = auroc_interval(table["label"], table["probability"])
    share = np.nan
    if Strategy.FUSE_ALL in tables:
        share = float((table["fused"] != tables[Strategy.FUSE_ALL]["fused"]).mean())
    gain = UNDEFINED
    if Strategy.DISCARD in tables and strategy != Strategy.DISCARD:
        gain = paired_auroc_test(table["label"], table["probability"], tables[Strategy.DISCARD]["probability"])
    return {
        "n": area.n,
        "n_positive": area.n_positive,
        "auroc": area.value,
        "auroc_low": area.low,
        "auroc_high": area.high,
        "share_not_fuse_all": share,
        "difference": gain.difference,
        "difference_low": gain.low,
        "difference_high": gain.high,
        "p_value": gain.p_value,
    }


def _as_text(comparison: pd.DataFrame) -> str:
    def interval(row: pd.Series, name: str, sign: str) -> str:
        """Show an estimate with its interval."""
        value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
        return "-" if np.isnan(value) else f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"

    def number(value: float) -> str:
        """Show a share or a p value."""
        return "-" if np.isnan(value) else f"{value:.3f}"

    text = pd.DataFrame(
        {
            "pattern": comparison["pattern"],
            "strategy": comparison["strategy"],
            "n": comparison["n"],
            "positive": comparison["n_positive"],
            "AUROC (95 % CI)": comparison.apply(interval, axis=1, name="auroc", sign=""),
            "not as fuse_all": comparison["share_not_fuse_all"].map(number),
            "gain over discard (95 % CI)": comparison.apply(interval, axis=1, name="difference", sign="+"),
            "p": comparison["p_value"].map(number),
            "p (Holm)": comparison["p_holm"].map(number),
        }
    )
    return text.to_string(index=False) + "\n"
