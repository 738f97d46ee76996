"""Training loss of a multimodal variational autoencoder."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from dymo_med.utils import check_positive

__all__ = ["MoPoELoss"]


class MoPoELoss(nn.Module):
    """Laplace reconstruction error plus beta times the mean divergence of the subset posteriors from the prior.

    Args:
        beta: Weight of the divergence; 2.5 as published for PolyMNIST.
        scale: Scale of the Laplace likelihood, in units of the content; 0.75 as published.

    Shape:
        - ``prediction``: ``reconstructions`` and ``targets`` by modality (B, ...), ``missing`` by modality (B,) or
          (B, P), True = absent, ``mean`` and ``log_variance`` (B, S, L), ``exists`` (B, S); output: scalar

    Raises:
        ValueError: a setting is not positive.

    Source: BASELINES section 4.2. The constant of the likelihood, log(2 scale) per value, is left out.

    Example:
        >>> z, seen = torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool)
        >>> one = {"m": torch.ones(1, 1, 2, 2)}
        >>> prediction = {"reconstructions": one, "targets": {"m": torch.zeros(1, 1, 2, 2)}, "missing": {"m": ~seen[0]}}
        >>> float(MoPoELoss(scale=0.5)({**prediction, "mean": z, "log_variance": z, "exists": seen}))
        8.0
    """

    def __init__(self, beta: float = 2.5, scale: float = 0.75) -> None:
        super().__init__()
        check_positive("beta", beta)
        check_positive("scale", scale)
        self.beta = beta
        self.scale = scale

    def forward(self, prediction: Mapping[str, Any], label: torch.Tensor | None = None) -> torch.Tensor:
        """Add both terms; ``label`` is accepted for the engine's sake and not used."""
        del label
        terms = self.terms(prediction)
        return terms["reconstruction"] + self.beta * terms["divergence"]

    def terms(self, prediction: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Give ``reconstruction`` (summed over values and modalities) and ``divergence``, means over the batch."""
        mean, log_variance, exists = (prediction[key] for key in ("mean", "log_variance", "exists"))
        each = (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1) / 2  # (B, S)
        divergence = torch.where(exists, each, 0.0).sum(1) / exists.sum(1).clamp_min(1)
        return {"reconstruction": self._reconstruction(prediction), "divergence": divergence.mean()}

    def _reconstruction(self, prediction: Mapping[str, Any]) -> torch.Tensor:
        errors = []
        for name, image in prediction["reconstructions"].items():
            present = ~prediction["missing"][name].reshape(len(image), -1).any(1)
            target = prediction["targets"][name][present]
            errors.append((image[present] - target).abs().sum() / (self.scale * len(image)))
        return torch.stack(errors).sum()
