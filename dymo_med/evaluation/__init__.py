"""Evaluation: figures of merit with intervals, strategies compared on the same subjects, selection against labels."""

from dymo_med.evaluation.accuracy import compare_accuracy, write_accuracy
from dymo_med.evaluation.comparison import compare_pairs, compare_strategies, write_comparison
from dymo_med.evaluation.decision_curve import decision_curve
from dymo_med.evaluation.discrimination import Estimate, PairedDifference, auroc_interval, paired_auroc_test
from dymo_med.evaluation.figures import figures_of_merit
from dymo_med.evaluation.multiplicity import holm
from dymo_med.evaluation.rewards import first_candidates, reward_evidence, write_reward_evidence
from dymo_med.evaluation.seeds import summarize_seeds, summary_text
from dymo_med.evaluation.selection_quality import (
    candidates_of,
    fusion_outcomes,
    read_decisions,
    regret,
    reward_calibration,
)
from dymo_med.evaluation.subgroups import group_subjects, subgroup_figures

__all__ = [
    "Estimate",
    "PairedDifference",
    "auroc_interval",
    "candidates_of",
    "compare_accuracy",
    "compare_pairs",
    "compare_strategies",
    "decision_curve",
    "figures_of_merit",
    "first_candidates",
    "fusion_outcomes",
    "group_subjects",
    "holm",
    "paired_auroc_test",
    "read_decisions",
    "regret",
    "reward_calibration",
    "reward_evidence",
    "subgroup_figures",
    "summarize_seeds",
    "summary_text",
    "write_accuracy",
    "write_comparison",
    "write_reward_evidence",
]
