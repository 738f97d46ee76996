"""Recovery of a table by TIP."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from dymo_med.networks.nets import TIP
from dymo_med.recovery.base import Proposal, Recovery

__all__ = ["TIPRecovery"]


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

    @torch.no_grad()
    def forward(self, inputs: Mapping[str, torch.Tensor], missing: Mapping[str, torch.Tensor]) -> Proposal:
        """Propose completed tables; unavailable for samples without an image."""
        available = ~missing[self.image].flatten(1).all(1) if missing[self.image].ndim > 1 else ~missing[self.image]
        values, gaps = inputs[self.target], missing[self.target]
        completed = torch.zeros_like(values)
        rows = available.nonzero().flatten()
        if len(rows):
            filled = self.network(inputs[self.image][rows], values[rows], gaps[rows])
            completed = completed.index_copy(0, rows, filled.to(values.dtype))
        return Proposal(completed, available)
