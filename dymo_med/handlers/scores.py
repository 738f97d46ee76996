"""Validation scores over subsets of modalities, as metrics for MONAI's evaluator."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.metrics import compute_average_precision, compute_roc_auc
from monai.utils import CommonKeys, evenly_divisible_all_gather

from dymo_med.missingness.subsets import subset_names
from dymo_med.selection import Fused

__all__ = ["auprcs", "pooled_accuracy", "pooled_auroc", "subset_aurocs"]


def pooled_auroc(name: str = "val_auroc") -> dict[str, Metric]:
    """Make the key metric of validation: AUROC over the predictions of all subsets, pooled.

    The positive class is 1. With more than two classes it is the macro average of one against the rest.

    Args:
        name: Name of the metric.

    Returns:
        One metric for ``key_val_metric`` of an evaluator whose inferer is a ``SubsetInferer``.
    """
    return {name: _SubsetScore(slice(None), compute_roc_auc)}


def pooled_accuracy(name: str = "val_accuracy") -> dict[str, Metric]:
    """Make the key metric of validation for many classes: accuracy over the predictions of all subsets, pooled.

    Args:
        name: Name of the metric.

    Returns:
        One metric for ``key_val_metric`` of an evaluator whose inferer is a ``SubsetInferer``.

    Example:
        >>> list(pooled_accuracy())
        ['val_accuracy']
    """
    return {name: _SubsetScore(slice(None), _accuracy)}


def subset_aurocs(modalities: Sequence[str], prefix: str = "val_auroc_") -> dict[str, Metric]:
    """Make one AUROC for each subset of modalities.

    Args:
        modalities: Names in the order of the network.
        prefix: Precedes the name of the subset.

    Returns:
        Metrics for ``additional_metrics`` of the same evaluator.

    Example:
        >>> list(subset_aurocs(["image", "table"]))
        ['val_auroc_image', 'val_auroc_table', 'val_auroc_image_table']
    """
    names = [name.replace("+", "_") for name in subset_names(list(modalities))]
    return {prefix + name: _SubsetScore(slice(index, index + 1), compute_roc_auc) for index, name in enumerate(names)}


def auprcs(modalities: Sequence[str], name: str = "val_auprc") -> dict[str, Metric]:
    """Make the areas under the precision-recall curve: over all subsets, pooled, and one for each.

    It is the average precision, as in scikit-learn; with rare positives it tells more than the AUROC.

    Args:
        modalities: Names in the order of the network.
        name: Name of the pooled one; the others have that of the subset added.

    Returns:
        Metrics for ``additional_metrics`` of an evaluator whose inferer is a ``SubsetInferer``.

    Example:
        >>> list(auprcs(["image", "table"]))
        ['val_auprc', 'val_auprc_image', 'val_auprc_table', 'val_auprc_image_table']
    """
    names = [subset.replace("+", "_") for subset in subset_names(list(modalities))]
    of_subsets = {
        f"{name}_{subset}": _SubsetScore(slice(index, index + 1), compute_average_precision)
        for index, subset in enumerate(names)
    }
    return {name: _SubsetScore(slice(None), compute_average_precision), **of_subsets}


def _accuracy(probs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Give the share of right classes, for scores (N, K) with labels one-hot, or of class 1 alone (N,)."""
    if probs.ndim == 1:
        return ((probs > 0.5) == label.bool()).double().mean()
    return (probs.argmax(-1) == label.argmax(-1)).double().mean()


class _SubsetScore(Metric):
    """Score over the rows of some subsets, of all processes; nan with a warning where there is no row."""

    def __init__(self, subsets: slice, score: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        self.score = score
        super().__init__(output_transform=_rows_of(subsets))

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all samples."""
        self._probs: list[torch.Tensor] = []
        self._labels: list[torch.Tensor] = []

    @reinit__is_reduced
    def update(self, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Take the probabilities (B, K) and labels (B,) of a batch."""
        probs, label = output
        self._probs.append(probs.detach())
        self._labels.append(label)

    def compute(self) -> float:
        """Give the score over the samples of all processes; nan with a warning where there are none."""
        probs, labels = torch.cat(self._probs), torch.cat(self._labels)
        if idist.all_reduce(len(labels)) == 0:
            warnings.warn("a validation score needs samples, however: 0 have a part of the subset", stacklevel=2)
            return math.nan
        return float(self.score(evenly_divisible_all_gather(probs, True), evenly_divisible_all_gather(labels, True)))


def _rows_of(subsets: slice) -> Callable[[dict[str, Any]], tuple[torch.Tensor, torch.Tensor]]:
    def rows(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Give scores and labels of all samples and chosen subsets, those with nothing observed left out."""
        fused: Fused = output[CommonKeys.PRED]
        logits = fused.logits[subsets]  # (S, B, K)
        present = ~logits.isnan().any(-1)
        label = output[CommonKeys.LABEL].expand(present.shape)[present]
        probs = torch.softmax(logits[present].float(), -1)
        n_classes = probs.shape[-1]
        if n_classes == 2:
            return probs[:, 1], label
        return probs, torch.nn.functional.one_hot(label, n_classes)

    return rows
