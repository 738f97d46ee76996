"""Strategies of fusion side by side for many classes: accuracy for every pattern of missing parts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm

from dymo_med.evaluation.inputs import check_same_subjects
from dymo_med.utils import Strategy, atomic_path, write_text

__all__ = ["compare_accuracy", "write_accuracy"]

REQUIRED = ("subject_id", "pattern", "strategy", "label", "predicted_class", "fused")
Z = float(norm.ppf(0.975))


def compare_accuracy(predictions: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """Compare fusion strategies on the same samples, pattern by pattern.

    Args:
        predictions: One row a sample, pattern and strategy, with the columns ``subject_id``; ``pattern``;
            ``strategy``; ``label``, index of the true class; ``predicted_class``, its name; ``fused``, what was fused,
            separated by semicolons; ``probability_<class>`` for every class.
        class_names: Names of the classes in order.

    Returns:
        One row a pattern and strategy, in order of appearance, with ``pattern``, ``strategy``, ``n``, ``accuracy``,
        ``accuracy_low``, ``accuracy_high`` (95 %, Wilson), ``cross_entropy`` (mean, in nats), ``mean_fused`` (recovered
        modalities that were fused per sample), ``difference`` (accuracy minus that of ``discard``), ``difference_low``,
        ``difference_high`` (95 %, normal, paired) and ``p_value`` (McNemar, exact). Differences are nan for ``discard``
        itself and where the pattern has none.

    Raises:
        KeyError: a column is missing.
        ValueError: there is no row, a label or class is unknown, a sample occurs twice or has no prediction, or the
            strategies of a pattern do not share samples and labels.

    Example:
        >>> rows = [("a", 0, "x", 0.9), ("b", 1, "y", 0.2), ("c", 1, "x", 0.5)]
        >>> table = pd.DataFrame(rows, columns=["subject_id", "label", "predicted_class", "probability_x"])
        >>> table = table.assign(probability_y=1 - table["probability_x"], pattern="all", strategy="discard", fused="")
        >>> compare_accuracy(table, ["x", "y"])[["n", "accuracy"]].round(3).values.tolist()
        [[3.0, 0.667]]
    """
    _check(predictions, class_names)
    rows = []
    for pattern, of_pattern in predictions.groupby("pattern", sort=False):
        tables = {
            str(strategy): rows_of.set_index("subject_id").sort_index()
            for strategy, rows_of in of_pattern.groupby("strategy", sort=False)
        }
        check_same_subjects(str(pattern), tables)
        right = {strategy: _is_right(table, class_names) for strategy, table in tables.items()}
        for strategy, table in tables.items():
            row = _row(table, right[strategy], class_names)
            if strategy != Strategy.DISCARD and Strategy.DISCARD in right:
                row |= _difference(right[strategy], right[Strategy.DISCARD])
            rows.append({"pattern": pattern, "strategy": strategy, **row})
    columns = ["difference", "difference_low", "difference_high", "p_value"]
    comparison = pd.DataFrame(rows)
    return comparison.reindex(columns=[*(name for name in comparison if name not in columns), *columns])


def write_accuracy(predictions_path: str | Path, folder: str | Path, class_names: Sequence[str]) -> pd.DataFrame:
    """Compare the strategies of a predictions file and write ``accuracy.csv`` and ``accuracy.txt``.

    Args:
        predictions_path: CSV with the columns that :func:`compare_accuracy` takes.
        folder: Where both files are written, each as a whole or not at all.
        class_names: Names of the classes in order.

    Returns:
        The comparison.

    Raises:
        FileNotFoundError: there is no predictions file.
        KeyError: a column is missing.
        ValueError: as for :func:`compare_accuracy`.
    """
    predictions_path, folder = Path(predictions_path), Path(folder)
    if not predictions_path.is_file():
        raise FileNotFoundError(f"no predictions at {predictions_path}: evaluate the bundle first")
    texts = dict.fromkeys(("subject_id", "pattern", "strategy", "predicted_class", "fused"), str)
    predictions = pd.read_csv(predictions_path, dtype=texts, keep_default_na=False, na_values={"label": [""]})
    comparison = compare_accuracy(predictions, class_names)
    with atomic_path(folder / "accuracy.csv") as temporary:
        comparison.to_csv(temporary, index=False)
    write_text(folder / "accuracy.txt", comparison.to_string(index=False, float_format="{:.4f}".format) + "\n")
    return comparison


def _check(predictions: pd.DataFrame, class_names: Sequence[str]) -> None:
    wanted = [*REQUIRED, *(f"probability_{name}" for name in class_names)]
    absent = [name for name in wanted if name not in predictions.columns]
    if absent:
        raise KeyError(
            f"predictions need the columns {wanted}, however: {absent} are absent; evaluate the bundle again"
        )
    if predictions.empty:
        raise ValueError(f"predictions need at least one row, however: {len(predictions)}: evaluate the bundle first")
    rules = {
        "label": ("an index of a class", predictions["label"].isin(range(len(class_names)))),
        "predicted_class": ("the name of a class", predictions["predicted_class"].isin(class_names)),
    }
    for column, (rule, holds) in rules.items():
        if not holds.all():
            first = predictions.loc[~holds, column].tolist()[0]
            raise ValueError(
                f"{column} must be {rule} of {list(class_names)}, however: it is not in {(~holds).sum()} rows, first "
                f"{first!r}: repair the labels or leave out samples without a prediction"
            )
    n_repeated = int(predictions.duplicated(["subject_id", "pattern", "strategy"]).sum())
    if n_repeated:
        raise ValueError(
            f"a sample may occur once in a pattern and strategy, however: {n_repeated} rows repeat one: "
            "keep a single run in the file"
        )


def _is_right(table: pd.DataFrame, class_names: Sequence[str]) -> np.ndarray:
    names = np.asarray(class_names, dtype=object)
    return np.asarray(names[table["label"].to_numpy(dtype=np.int64)] == table["predicted_class"].to_numpy(dtype=object))


def _row(table: pd.DataFrame, right: np.ndarray, class_names: Sequence[str]) -> dict[str, float]:
    probs = table[[f"probability_{name}" for name in class_names]].to_numpy(dtype=np.float64)
    of_label = probs[np.arange(len(probs)), table["label"].to_numpy(dtype=np.int64)]
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    fused = table["fused"].map(lambda text: len([part for part in text.split(";") if part.strip()]))
    return {
        "n": len(table),
        "accuracy": float(right.mean()),
        "accuracy_low": float(interval.low),
        "accuracy_high": float(interval.high),
        "cross_entropy": float(-np.log(np.maximum(of_label, np.finfo(np.float32).tiny)).mean()),
        "mean_fused": float(fused.mean()),
    }


def _difference(right: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    gained, lost = int((right & ~reference).sum()), int((~right & reference).sum())
    each = right.astype(np.float64) - reference
    half = Z * each.std() / np.sqrt(len(each))
    return {
        "difference": each.mean(),
        "difference_low": each.mean() - half,
        "difference_high": each.mean() + half,
        "p_value": float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0,
    }
