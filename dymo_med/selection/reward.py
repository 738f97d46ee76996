"""Confidence, intra-class similarity and reward of a fusion (METHOD section 5)."""

import math

import torch

from dymo_med.selection.distances import class_scores, radial_distance
from dymo_med.selection.statistics import ClassStatistics
from dymo_med.utils import ICSWeight

__all__ = ["confidence", "ics_weight_of", "intra_class_similarity", "reward"]

EPSILON = 1e-9
"""Keeps the weights finite where a similarity vanishes (METHOD section 5)."""


def confidence(embedding: torch.Tensor, statistics: ClassStatistics, temperature: float = 0.1) -> torch.Tensor:
    """Give q(z), the largest class probability by distance to the overall prototypes.

    Args:
        embedding: Features z, shape (..., D).
        statistics: Fitted class statistics.
        temperature: Softmax temperature; 0.1 as the network was trained with.

    Returns:
        Values in [1/K, 1], shape (...).
    """
    scores = class_scores(embedding, statistics.overall, statistics.metric)
    best: torch.Tensor = torch.softmax(scores / temperature, dim=-1).amax(-1)
    return best


def intra_class_similarity(
    embedding: torch.Tensor, predicted: torch.Tensor, subset: torch.Tensor, statistics: ClassStatistics
) -> torch.Tensor:
    """Give p(z, S) = 2 (1 - Phi(d / sigma)): how usual the distance to the predicted class is in this subset.

    Args:
        embedding: Features z, shape (..., D).
        predicted: Class that the classifier predicts, int64, shape (...).
        subset: Code of the subset S, int64, shape (...); -1 = empty.
        statistics: Fitted class statistics.

    Returns:
        Values in [0, 1], shape (...); nan where the subset is empty, for which no statistics exist.
    """
    code = subset.clamp_min(0)
    distance = radial_distance(embedding, statistics.prototypes[code, predicted], statistics.metric)
    sigma = statistics.std[code, predicted].clamp_min(torch.finfo(distance.dtype).tiny)  # 0 for a class of one sample
    similarity = torch.erfc(distance / (sigma * math.sqrt(2)))
    return torch.where(subset < 0, torch.nan, similarity)


def ics_weight_of(before: torch.Tensor, after: torch.Tensor, form: ICSWeight) -> torch.Tensor:
    """Give alpha, which lowers the confidence after a fusion that made the feature less usual.

    Args:
        before: Similarity p before the fusion; nan = it does not exist.
        after: Similarity p_u after it, same shape.
        form: ``none`` (always 1), ``ratio`` p_u / p, ``log_ratio`` ln p / ln p_u.

    Returns:
        Weights in [0, 1]; 1 where ``after >= before`` or where there is no ``before``.

    Example:
        >>> p, p_u = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.9])
        >>> ics_weight_of(p, p_u, ICSWeight.RATIO), ics_weight_of(p, p_u, ICSWeight.LOG_RATIO)
        (tensor([0.5000, 1.0000]), tensor([0.5000, 1.0000]))
    """
    if form is ICSWeight.NONE:
        return torch.ones_like(after)
    if form is ICSWeight.RATIO:
        lowered = after / (before + EPSILON)
    else:  # bounds keep the factor finite where a similarity reaches 0 or 1
        usual, less_usual = (-before.log()).clamp_min(EPSILON), (-(after + EPSILON).log()).clamp_min(EPSILON)
        lowered = (usual / less_usual).clamp_max(1)
    return torch.where((after >= before) | before.isnan(), 1.0, lowered)


def reward(confidence_before: torch.Tensor, confidence_after: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Give the multimodal task information reward R = alpha q(z_u) - q(z) (MTIR, METHOD section 5)."""
    return weight * confidence_after - confidence_before
