"""Recovery of a table by TIP."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from dymo_med.networks.nets import TIP
from dymo_med.recovery.base import Proposal, Recovery
from dymo_med.utils import rebuildable

__all__ = ["TIPRecovery"]


@rebuildable
class TIPRecovery(Recovery):
    """Completes a table from the image and from its observed cells (METHOD section 6).

    Args:
        network: Pre-trained network.
        image: Name of the image modality; without its image a sample cannot be recovered.
        target: Name of the table modality.

    Example:
        >>> from dymo_med.networks.nets import ImageEncoder, TableEncoder
        >>> image = ImageEncoder(3, 32, block="basic", layers=[1] * 4, channels=[4, 4, 8, 8])
        >>> recovery = TIPRecovery(TIP(image, TableEncoder([2], 1, dim=8, n_heads=2), n_heads=2))
        >>> recovery.target, recovery.name
        ('table', 'tip')
    """

    name: ClassVar[str] = "tip"

    def __init__(self, network: TIP, image: str = "image", target: str = "table") -> None:
        super().__init__(target)
        self.image = image
        self.network = network.eval()

    def forward(self, inputs: Mapping[str, torch.Tensor], missing: Mapping[str, torch.Tensor]) -> Proposal:
        """Propose completed tables; unavailable for samples without an image."""
        return self.propose(inputs, missing, {})

    def encoder_of(self, name: str) -> torch.nn.Module | None:
        """Give TIP's image encoder for the image, None for all else."""
        return self.network.encoder_imaging if name == self.image else None

    @torch.no_grad()
    def propose(
        self,
        inputs: Mapping[str, torch.Tensor],
        missing: Mapping[str, torch.Tensor],
        features: Mapping[str, torch.Tensor],
    ) -> Proposal:
        """Propose completed tables from images, or from image features that exist already."""
        available = ~missing[self.image].flatten(1).all(1) if missing[self.image].ndim > 1 else ~missing[self.image]
        values, gaps = inputs[self.target], missing[self.target]
        gaps = gaps.unsqueeze(1).expand_as(values) if gaps.ndim == 1 else gaps
        completed = torch.zeros_like(values)
        rows = available.nonzero().flatten()
        if len(rows):
            known = features.get(self.image)
            tokens = self.network.image_tokens(inputs[self.image][rows]) if known is None else known[rows]
            filled = self.network.complete(tokens, values[rows], gaps[rows])
            completed = completed.index_copy(0, rows, filled.to(values.dtype))
        return Proposal(completed, available)
