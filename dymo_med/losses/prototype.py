"""Training loss of the classifier over sampled subsets (METHOD section 3)."""

import torch
import torch.nn.functional as F
from torch import nn

from dymo_med.selection import Fused, class_scores
from dymo_med.utils import Metric, as_choice, check_positive, mean_over_processes

__all__ = ["PrototypeLoss"]


class PrototypeLoss(nn.Module):
    """Cross-entropy of the classifier plus cross-entropy of the softmax over distances to fixed prototypes.

    Both are averaged over all subsets and samples, of all processes that train together; rows that are nan (nothing of
    the subset was observed for the sample) take no part. Without prototypes only the first term counts: they are set
    from outside once the epochs in which they are not used are over.

    Args:
        metric: Distance in the metric space, that of the network.
        temperature: t of softmax(-d / t); 0.1 as published.
        class_weight: Weight of each class in both terms, for unbalanced training sets; None = equal. The mean
            over samples is weighted, too: it does not depend on how many samples of a rare class a batch holds.

    Shape:
        - ``prediction``: logits (A, B, K) and embedding (A, B, D); ``label``: (B,) int64; output: scalar

    Example:
        >>> loss = PrototypeLoss("cosine")
        >>> loss(Fused(torch.zeros(1, 2, 2), torch.zeros(1, 2, 4)), torch.tensor([0, 1])).round(decimals=4)
        tensor(0.6931)
    """

    class_weight: torch.Tensor | None

    def __init__(
        self, metric: str = "cosine", temperature: float = 0.1, class_weight: torch.Tensor | list[float] | None = None
    ) -> None:
        super().__init__()
        check_positive("temperature", temperature)
        self.metric = as_choice("metric", metric, Metric)
        self.temperature = temperature
        weight = None if class_weight is None else torch.as_tensor(class_weight, dtype=torch.float32)
        self.register_buffer("class_weight", weight)
        self.prototypes: torch.Tensor | None = None

    def forward(self, prediction: Fused, label: torch.Tensor) -> torch.Tensor:
        """Compare predictions of every subset with the labels."""
        present = ~prediction.logits.isnan().any(-1)  # (A, B)
        target = label.expand(present.shape)[present]
        weight = (
            torch.ones_like(target, dtype=torch.float32) if self.class_weight is None else self.class_weight[target]
        )
        loss = F.cross_entropy(prediction.logits[present], target, self.class_weight, reduction="sum")
        if self.prototypes is not None:
            scores = class_scores(prediction.embedding[present], self.prototypes.detach(), self.metric)
            loss = loss + F.cross_entropy(scores / self.temperature, target, self.class_weight, reduction="sum")
        return mean_over_processes(loss, weight.sum())
