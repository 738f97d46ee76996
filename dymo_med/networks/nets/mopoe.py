"""MoPoE: a variational autoencoder whose latent vector can be inferred from any combination of modalities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from dymo_med.missingness.subsets import enumerate_subsets
from dymo_med.networks.nets.conv_decoder import initialize_glorot
from dymo_med.networks.nets.encoder import ModalityEncoder
from dymo_med.utils import check_bool_mask, check_positive_int

__all__ = ["Gaussians", "MoPoE", "MoPoEOutput", "PosteriorEncoder"]


@dataclass(frozen=True)
class Gaussians:
    """Normal distributions with diagonal covariance.

    Args:
        mean: (..., L).
        log_variance: (..., L).
        exists: (...) bool, False where nothing was observed; mean and variance are then those of the prior.
    """

    mean: torch.Tensor
    log_variance: torch.Tensor
    exists: torch.Tensor


@dataclass(frozen=True)
class MoPoEOutput:
    """What training compares.

    Args:
        reconstructions: By modality (B, ...), decoded from one latent vector of each sample.
        posteriors: Of every subset, mean and log-variance (B, S, L).
    """

    reconstructions: dict[str, torch.Tensor]
    posteriors: Gaussians


class PosteriorEncoder(nn.Module):
    """Mean and log-variance of the latent vector from one modality: tokens side by side, a hidden layer, two heads.

    Args:
        encoder: Encoder of the modality; ``ConvEncoder(pooled=False)`` as published for PolyMNIST.
        latent_dim: Size L of the latent vector.
        hidden_dim: Width of the hidden layer.

    Shape:
        - ``x``: (B, ...); ``missing``: (B, P); output: two tensors (B, L)

    Raises:
        ValueError: a size is not positive.

    Source: BASELINES section 4.2.

    Example:
        >>> from dymo_med.networks.nets import ConvEncoder
        >>> encoder = PosteriorEncoder(ConvEncoder(pooled=False))
        >>> sum(parameter.numel() for parameter in encoder.parameters())  # as published
        1667648
    """

    def __init__(self, encoder: ModalityEncoder, latent_dim: int = 512, hidden_dim: int = 512) -> None:
        for name, value in {"latent_dim": latent_dim, "hidden_dim": hidden_dim}.items():
            check_positive_int(name, value)
        super().__init__()
        self.encoder = encoder
        self.hidden = nn.Linear(encoder.n_tokens * encoder.token_dim, hidden_dim)
        self.mean = nn.Linear(hidden_dim, latent_dim)
        self.log_variance = nn.Linear(hidden_dim, latent_dim)
        for own in (self.hidden, self.mean, self.log_variance):
            initialize_glorot(own)

    def forward(self, x: torch.Tensor, missing: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the expert of samples of which at least a part is present."""
        tokens = self.encoder(self.encoder.clean(x, missing), missing)
        hidden = torch.relu(self.hidden(tokens.flatten(1)))
        return self.mean(hidden), self.log_variance(hidden)


class MoPoE(nn.Module):
    """Mixture of products of experts over all subsets of modalities.

    Every modality gives a Gaussian expert; the posterior of a subset is the product of its experts, and the joint
    posterior the uniform mixture over all non-empty subsets. The standard normal prior is one more expert of the full
    set only, as published. Modalities without a decoder are evidence only: they are never recovered.

    Args:
        encoders: Expert of each modality by name; their order is the order of modalities.
        decoders: Network from latent vector to content for each modality to recover.
        latent_dim: Size L of the latent vector that all of them share; 512 as published for PolyMNIST.

    Shape:
        - ``inputs``: by modality (B, ...); ``missing``: by modality (B,) or (B, P)
        - posteriors: (B, S, L) in the order of :func:`~dymo_med.missingness.subsets.enumerate_subsets`

    Raises:
        ValueError: there is no encoder or no decoder, or a decoder has no encoder.

    Source: Sutter et al., Generalized Multimodal ELBO, ICLR 2021; sizes in BASELINES section 4.2.

    Example:
        >>> from dymo_med.networks.nets import ConvDecoder, ConvEncoder
        >>> encoders = {name: PosteriorEncoder(ConvEncoder(pooled=False), 8, 16) for name in ("a", "b")}
        >>> net = MoPoE(encoders, {"b": ConvDecoder(8)}, latent_dim=8)
        >>> missing = {"a": torch.tensor([False]), "b": torch.tensor([True])}
        >>> z = net.latent({name: torch.zeros(1, 3, 28, 28) for name in missing}, missing)
        >>> net.decoders["b"](z.mean).shape
        torch.Size([1, 3, 28, 28])
    """

    subsets: torch.Tensor

    def __init__(
        self, encoders: Mapping[str, PosteriorEncoder], decoders: Mapping[str, nn.Module], latent_dim: int = 512
    ) -> None:
        lacking = sorted(decoders.keys() - encoders.keys())
        if not encoders or not decoders or lacking:
            raise ValueError(
                f"a network needs encoders and a decoder for one or more of them, however: encoders={list(encoders)}, "
                f"decoders={list(decoders)}; name both alike"
            )
        check_positive_int("latent_dim", latent_dim)
        super().__init__()
        self.modalities = tuple(encoders)
        self.latent_dim = latent_dim
        self.encoders = nn.ModuleDict(encoders)
        self.decoders = nn.ModuleDict(decoders)
        self.register_buffer("subsets", enumerate_subsets(len(encoders)), persistent=False)

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor],
        missing: Mapping[str, torch.Tensor],
        *,
        component: torch.Tensor,
        noise: torch.Tensor,
    ) -> MoPoEOutput:
        """Infer all posteriors and decode one draw of each sample, for training.

        Args:
            inputs: Contents by modality; what stands in missing entries is never read.
            missing: Masks by modality, boolean, True = absent.
            component: Subset whose posterior each sample is drawn from, int64 (B,); where nothing of it was observed,
                the draw is from the posterior of all that was.
            noise: Standard normal numbers (B, L).

        Raises:
            KeyError: a modality or its mask is absent.
            TypeError: a mask is not boolean.
        """
        experts = self.experts(inputs, missing)
        observed = experts.exists.unsqueeze(1)  # (B, 1, M)
        posteriors = product_of_experts(experts, self.subsets & observed)
        row = torch.arange(len(component), device=component.device)
        drawn = torch.where(posteriors.exists[row, component], component, len(self.subsets) - 1)
        mean, log_variance = posteriors.mean[row, drawn], posteriors.log_variance[row, drawn]
        z = mean + noise * (log_variance / 2).exp()
        return MoPoEOutput({name: decoder(z) for name, decoder in self.decoders.items()}, posteriors)

    def latent(self, inputs: Mapping[str, torch.Tensor], missing: Mapping[str, torch.Tensor]) -> Gaussians:
        """Infer the posterior of what was observed of each sample, (B, L), once for all that may be decoded.

        Args:
            inputs: Contents by modality.
            missing: Masks by modality.

        Raises:
            KeyError: a modality or its mask is absent.
            TypeError: a mask is not boolean.
        """
        experts = self.experts(inputs, missing)
        joint = product_of_experts(experts, experts.exists.unsqueeze(1))
        return Gaussians(joint.mean[:, 0], joint.log_variance[:, 0], joint.exists[:, 0])

    def experts(self, inputs: Mapping[str, torch.Tensor], missing: Mapping[str, torch.Tensor]) -> Gaussians:
        """Encode every modality once; samples of which nothing is present cost nothing.

        Args:
            inputs: Contents by modality.
            missing: Masks by modality.

        Returns:
            Experts (B, M, L).

        Raises:
            KeyError: a modality or its mask is absent.
            TypeError: a mask is not boolean.
        """
        parts = [self._expert(name, inputs, missing) for name in self.modalities]
        return Gaussians(*(torch.stack(part, dim=1) for part in zip(*parts, strict=True)))

    def _expert(
        self, name: str, inputs: Mapping[str, torch.Tensor], missing: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        for kind, items in (("inputs", inputs), ("missing", missing)):
            if name not in items:
                raise KeyError(f"{kind} must hold {name!r}, however: {kind} holds {sorted(items)}; mark it missing")
        x, mask = inputs[name], missing[name]
        check_bool_mask(f"missing[{name!r}]", mask)
        encoder = cast(PosteriorEncoder, self.encoders[name])
        mask = mask.unsqueeze(1).expand(len(x), encoder.encoder.n_tokens) if mask.ndim == 1 else mask
        rows = (~mask.all(1)).nonzero().flatten()
        if len(rows) == len(x):
            return (*encoder(x, mask), ~mask.all(1))
        mean = x.new_zeros(len(x), self.latent_dim)
        if not len(rows):
            return mean, mean, ~mask.all(1)
        found = encoder(x[rows], mask[rows])
        mean, log_variance = (mean.to(part.dtype).index_copy(0, rows, part) for part in found)
        return mean, log_variance, ~mask.all(1)


def product_of_experts(experts: Gaussians, members: torch.Tensor) -> Gaussians:
    """Multiply the experts of every subset, the prior among them where the subset holds all modalities.

    Args:
        experts: (B, M, L).
        members: (B, S, M) bool, True = the modality is in the subset and was observed.

    Returns:
        Posteriors (B, S, L).

    Example:
        >>> experts = Gaussians(torch.tensor([[[1.0], [3.0]]]), torch.zeros(1, 2, 1), torch.ones(1, 2) > 0)
        >>> both = product_of_experts(experts, torch.ones(1, 1, 2, dtype=torch.bool))
        >>> round(both.mean.item(), 4)  # (1 + 3 + 0) / 3
        1.3333
    """
    precision = (-experts.log_variance).exp()  # (B, M, L)
    weights = members.to(precision.dtype)
    exists, has_prior = members.any(-1), members.all(-1) | ~members.any(-1)
    total = weights @ precision + has_prior.unsqueeze(-1)
    return Gaussians(weights @ (precision * experts.mean) / total, -total.log(), exists)
