"""Strategies of fusion side by side: discrimination for every pattern of missing parts."""

from pathlib import Path

import numpy as np
import pandas as pd

from dymo_med.evaluation.discrimination import PairedDifference, auroc_interval, paired_auroc_test
from dymo_med.utils.enums import Strategy
from dymo_med.utils.files import atomic_path, write_text

__all__ = ["compare_strategies", "write_comparison"]

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
        ``difference`` (area minus that of ``discard``), ``difference_low``, ``difference_high``, ``p_value``. Columns
        that need ``fuse_all`` or ``discard`` are nan where the pattern has no such strategy; differences are nan for
        ``discard`` itself.

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
    _check(predictions)
    rows = []
    for pattern, of_pattern in predictions.groupby("pattern", sort=False):
        tables = {
            str(strategy): rows_of.set_index("subject_id").sort_index()
            for strategy, rows_of in of_pattern.groupby("strategy", sort=False)
        }
        _check_paired(str(pattern), tables)
        rows += [{"pattern": pattern, "strategy": strategy, **_row(strategy, tables)} for strategy in tables]
    return pd.DataFrame(rows)


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


def _check(predictions: pd.DataFrame) -> None:
    absent = [name for name in REQUIRED if name not in predictions.columns]
    if absent:
        raise KeyError(f"predictions need the columns {list(REQUIRED)}, however: {absent} are absent")
    if predictions.empty:
        raise ValueError(f"predictions need at least one row, however: {len(predictions)}: evaluate the bundle first")
    empty = predictions[list(REQUIRED)].isna().sum()
    if empty.any():
        found = ", ".join(f"{count} in {name}" for name, count in empty.items() if count)
        raise ValueError(
            f"predictions must not have empty cells, however: {found}: predict or leave out these subjects"
        )
    for name, rule, holds in (
        ("label", "0 or 1", predictions["label"].isin([0, 1])),
        ("probability", "between 0 and 1", predictions["probability"].between(0, 1)),
    ):
        if not holds.all():
            first = predictions[~holds].iloc[0]
            raise ValueError(
                f"a {name} must be {rule}, however: it is not in {(~holds).sum()} rows, first {first[name]} for "
                f"pattern {first['pattern']!r}, strategy {first['strategy']!r}: repair the labels or the prediction"
            )
    n_repeated = int(predictions.duplicated(["subject_id", "pattern", "strategy"]).sum())
    if n_repeated:
        raise ValueError(
            f"a subject may occur once in a pattern and strategy, however: {n_repeated} rows repeat one: "
            "keep a single run in the file"
        )


def _check_paired(pattern: str, tables: dict[str, pd.DataFrame]) -> None:
    first, reference = next(iter(tables.items()))
    for strategy, table in tables.items():
        if not table.index.equals(reference.index):
            n_alone = len(table.index.symmetric_difference(reference.index))
            raise ValueError(
                f"strategies are compared on the same subjects, however: {n_alone} subjects of pattern {pattern!r} "
                f"are in only one of {first!r} and {strategy!r}: predict all subjects with every strategy"
            )
        n_differ = int((table["label"] != reference["label"]).sum())
        if n_differ:
            raise ValueError(
                f"a subject has one label, however: {n_differ} subjects of pattern {pattern!r} have another under "
                f"{strategy!r} than under {first!r}: evaluate all strategies on one label table"
            )


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
        }
    )
    return text.to_string(index=False) + "\n"
