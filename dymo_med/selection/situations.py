"""What is known of a patient before anything is decided, in words."""

import torch

__all__ = ["situation_names"]

LEVELS = ("absent", "under half", "half or more", "whole")


def situation_names(modalities: tuple[str, ...], observed_share: torch.Tensor) -> list[str]:
    """Say for every sample how much of each modality was observed, in four levels.

    Args:
        modalities: Names in the order of the modality axis.
        observed_share: Share of each modality's tokens that was observed, (B, M), 0 to 1.

    Returns:
        One text a sample.

    Example:
        >>> situation_names(("image", "table"), torch.tensor([[1.0, 0.4], [0.0, 0.5]]))
        ['image whole, table under half', 'image absent, table half or more']
    """
    levels = (observed_share > 0).long() + (observed_share >= 0.5).long() + (observed_share >= 1).long()
    return [
        ", ".join(f"{name} {LEVELS[level]}" for name, level in zip(modalities, row, strict=True))
        for row in levels.tolist()
    ]
