"""What every modality encoder offers to the networks that use it."""

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import nn

__all__ = ["ModalityEncoder"]


class ModalityEncoder(nn.Module, ABC):
    """Base of encoders: turns one modality of a batch into tokens, each sample on its own in evaluation mode.

    Args:
        input_shape: Shape of one sample.
        n_tokens: Number of tokens P that a sample gets.
        token_dim: Width of a token.

    Shape:
        - ``x``: (B, ...); ``missing``: (B, P); output: (B, P, ``token_dim``)
    """

    def __init__(self, input_shape: tuple[int, ...], n_tokens: int, token_dim: int) -> None:
        super().__init__()
        self.input_shape = input_shape
        self.n_tokens = n_tokens
        self.token_dim = token_dim
        self.is_frozen = False

    def freeze(self) -> None:
        """Keep the encoder as it is: no gradients, and evaluation mode for good, so that BatchNorm learns nothing."""
        self.is_frozen = True
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Set the mode as any module does; a frozen encoder stays in evaluation mode."""
        return super().train(mode and not self.is_frozen)

    @abstractmethod
    def forward(self, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        """Encode samples of which at least a part is present; missing entries of ``x`` hold finite fillers."""

    @abstractmethod
    def clean(self, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        """Replace every missing entry of ``x`` by zero, whatever stands there."""
