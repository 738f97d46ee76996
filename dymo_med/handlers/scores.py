"""Validation scores over subsets of modalities, as metrics for MONAI's evaluator."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.handlers import ROCAUC
from monai.utils import CommonKeys

from dymo_med.missingness.subsets import subset_names
from dymo_med.selection import Fused

__all__ = ["pooled_auroc", "subset_aurocs"]


def pooled_auroc(name: str = "val_auroc") -> dict[str, ROCAUC]:
    """Make the key metric of validation: AUROC over the predictions of all subsets, pooled.

    The positive class is 1. With more than two classes it is the macro average of one against the rest.

    Args:
        name: Name of the metric.

    Returns:
        One metric for ``key_val_metric`` of an evaluator whose inferer is a ``SubsetInferer``.
    """
    return {name: ROCAUC(output_transform=_scores_of(slice(None)))}


def subset_aurocs(modalities: Sequence[str], prefix: str = "val_auroc_") -> dict[str, ROCAUC]:
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
    return {
        prefix + name: ROCAUC(output_transform=_scores_of(slice(index, index + 1))) for index, name in enumerate(names)
    }


def _scores_of(subsets: slice) -> Callable[[dict[str, Any]], tuple[torch.Tensor, torch.Tensor]]:
    def scores(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
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

    return scores
