"""What the words of a report mean, for readers who have not read the papers."""

from collections.abc import Mapping
from typing import Any

from dymo_med.evaluation.report.page import Facts
from dymo_med.evaluation.report.sweep_results import AUTO, SweepResults
from dymo_med.utils import ICSWeight, Strategy

__all__ = ["glossary"]

_STRATEGIES = {
    Strategy.DISCARD: "what is missing stays out; nothing is filled in",
    Strategy.FUSE_ALL: "every candidate is used",
    Strategy.SIMULTANEOUS: "all candidates whose reward is above 0 are used at once",
    Strategy.GREEDY: "the candidate of the highest reward is used, as long as one is above 0",
}
_WEIGHTED = "the reward is lower where a candidate makes the subject less typical of its class"
_AUTO = "the policy that was chosen on validation subjects: limits for the reward in each situation, see Summary"
_SELECTION = {
    "missing pattern, rate": "what was hidden from the model in this evaluation, and how much of it (0 nothing, 1 all)",
    "situation": "how much of image and table was there before anything was decided",
    "candidate": "what a recovery (such as tip) proposes for what is missing, estimated from what is there",
    "fused": "the candidate was used for the prediction; kept out: it was not",
    "reward": "what the model expects a candidate to be worth, without knowing the outcome",
    "loss": "how far a predicted risk is from what happened (cross-entropy); lower is better",
    "regret": "loss beyond that of the better of discard and fuse_all for the same subject; lower is better",
}
_FIGURES = {
    "AUROC": "chance that a case has a higher predicted risk than a control; 0.5 is a coin toss, 1 is perfect",
    "AUPRC": "share of cases among those called cases, averaged over all cut-offs; the share of cases is chance",
    "balanced accuracy": "mean of sensitivity and specificity at a predicted risk of 0.5",
    "Brier score": "mean squared difference between predicted risk and what happened (0 or 1); lower is better",
    "calibration intercept": "0 is ideal; below 0 risks are too high on average, above 0 too low",
    "calibration slope": "1 is ideal; below 1 risks are too extreme",
    "ICI": "integrated calibration index: mean distance between predicted risk and observed share; 0 is ideal",
    "net benefit": "true positives per subject, less false positives weighted by the odds of the threshold; higher is "
    "better",
}


def glossary(results: SweepResults) -> Facts:
    """Explain the names of strategies and figures that this report uses.

    Args:
        results: The sweep.
    """
    strategies = {name: text for name in results.strategies if (text := _of_strategy(results, name))}
    return Facts(_SELECTION | strategies | _FIGURES)


def _of_strategy(results: SweepResults, name: str) -> str:
    if name == AUTO:
        return _AUTO
    record: Mapping[str, Any] = results.settings["policies"].get(name, {"strategy": name})
    if record["strategy"] not in _STRATEGIES:
        return ""
    weight = record.get("ics_weight", ICSWeight.NONE)
    text = _STRATEGIES[Strategy(record["strategy"])]
    return text if weight == ICSWeight.NONE else f"{text}; {_WEIGHTED}"
