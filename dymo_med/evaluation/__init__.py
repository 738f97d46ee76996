"""Evaluation: discrimination with intervals, strategies compared on the same subjects."""

from dymo_med.evaluation.comparison import compare_strategies, write_comparison
from dymo_med.evaluation.discrimination import Estimate, PairedDifference, auroc_interval, paired_auroc_test

__all__ = [
    "Estimate",
    "PairedDifference",
    "auroc_interval",
    "compare_strategies",
    "paired_auroc_test",
    "write_comparison",
]
