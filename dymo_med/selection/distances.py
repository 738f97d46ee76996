"""Distances in the metric space (METHOD sections 3 to 5)."""

import torch
import torch.nn.functional as F

from dymo_med.utils import Metric

__all__ = ["class_scores", "normalize", "radial_distance"]


def normalize(embedding: torch.Tensor, metric: Metric) -> torch.Tensor:
    """L2-normalise the last axis for the cosine metric; leave it untouched for squared Euclidean."""
    return F.normalize(embedding, dim=-1) if metric is Metric.COSINE else embedding


def class_scores(embedding: torch.Tensor, prototypes: torch.Tensor, metric: Metric) -> torch.Tensor:
    """Give the negative distance to every prototype, up to a constant: ``z.c`` or ``-||z - c||^2``.

    Args:
        embedding: Features z, shape (..., D).
        prototypes: Class centers c, shape (K, D).
        metric: Which distance.

    Returns:
        Scores of shape (..., K); divided by a temperature they are logits over classes.

    Example:
        >>> z, c = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 2.0]])
        >>> class_scores(z, c, Metric.SQUARED_EUCLIDEAN).tolist()
        [[-1.0, -4.0]]
    """
    if metric is Metric.COSINE:
        return embedding @ prototypes.T
    difference = embedding.unsqueeze(-2) - prototypes  # (..., K, D)
    return -difference.square().sum(-1)


def radial_distance(embedding: torch.Tensor, prototype: torch.Tensor, metric: Metric) -> torch.Tensor:
    """Give the distance whose spread is measured per class: ``1 - z.c`` or ``||z - c||`` (not squared).

    Args:
        embedding: Features z, shape (..., D).
        prototype: One center per feature, shape (..., D).
        metric: Which distance.

    Returns:
        Distances of shape (...).
    """
    if metric is Metric.COSINE:
        return 1 - (embedding * prototype).sum(-1)
    distance: torch.Tensor = torch.linalg.vector_norm(embedding - prototype, dim=-1)
    return distance
