"""Recovery of a modality by a multimodal variational autoencoder."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from dymo_med.networks.nets.mopoe import MoPoE
from dymo_med.recovery.base import Proposal, Recovery

__all__ = ["MoPoERecovery"]

LATENT, EXISTS = "mopoe: latent", "mopoe: exists"
"""What the recoveries of one network have in common; no modality can be named so."""


class MoPoERecovery(Recovery):
    """Decodes a modality from the posterior mean of the modalities that were observed.

    One network recovers several modalities, each by a recovery of its own; the posterior is inferred once per sample
    for all of them.

    Args:
        network: Trained network; modalities that it does not know are not read.
        target: Modality to fill, of which the network has a decoder.

    Raises:
        ValueError: the network has no decoder for the target.

    Example:
        >>> from dymo_med.networks.nets import ConvDecoder, ConvEncoder, PosteriorEncoder
        >>> encoders = {name: PosteriorEncoder(ConvEncoder(pooled=False), 8, 16) for name in ("a", "b")}
        >>> recovery = MoPoERecovery(MoPoE(encoders, {"b": ConvDecoder(8)}, latent_dim=8), "b")
        >>> recovery.target, recovery.name
        ('b', 'mopoe')
    """

    name: ClassVar[str] = "mopoe"

    def __init__(self, network: MoPoE, target: str) -> None:
        if target not in network.decoders:
            raise ValueError(
                f"target must be one of {sorted(network.decoders)}, which the network can decode, however: {target!r}; "
                "train it with a decoder for this modality"
            )
        super().__init__(target)
        self.network = network.eval()

    @property
    def shared(self) -> torch.nn.Module:
        """The network: its recoveries need the same posterior."""
        return self.network

    @torch.no_grad()
    def prepare(
        self, inputs: Mapping[str, torch.Tensor], missing: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Infer the posterior of what was observed."""
        posterior = self.network.latent(inputs, missing)
        return {LATENT: posterior.mean, EXISTS: posterior.exists}

    def forward(self, inputs: Mapping[str, torch.Tensor], missing: Mapping[str, torch.Tensor]) -> Proposal:
        """Propose the target; unavailable for samples of which nothing was observed."""
        return self.propose(inputs, missing, {})

    @torch.no_grad()
    def propose(
        self,
        inputs: Mapping[str, torch.Tensor],
        missing: Mapping[str, torch.Tensor],
        features: Mapping[str, torch.Tensor],
    ) -> Proposal:
        """Propose the target, from a posterior that exists already or from the inputs."""
        common = features if LATENT in features else self.prepare(inputs, missing)
        values = inputs[self.target]
        absent = missing[self.target].reshape(len(values), -1).all(1)
        decoded = self.network.decoders[self.target](common[LATENT]).to(values.dtype)
        filled = torch.where(absent.reshape(-1, *(1,) * (values.ndim - 1)), decoded, values)
        return Proposal(filled, common[EXISTS] | ~absent)
