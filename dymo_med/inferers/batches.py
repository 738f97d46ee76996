"""Batches of any modalities as inputs of a network."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.engines import PrepareBatch
from monai.utils import CommonKeys

__all__ = ["PrepareModalities"]


class PrepareModalities(PrepareBatch):
    """Sorts the items of a batch into the first modality, the label, and all other modalities and masks by name.

    MONAI's own needs an item called "image"; here the modalities have the names that they have.

    Args:
        modalities: Names in the order of the network.

    Raises:
        ValueError: there is no modality.

    Example:
        >>> batch = {name: torch.zeros(2) for name in ("a", "b", "a_missing", "b_missing")}
        >>> inputs, label, args, kwargs = PrepareModalities(["a", "b"])(batch)
        >>> inputs.shape, label, args, sorted(kwargs)
        (torch.Size([2]), None, (), ['a_missing', 'b', 'b_missing'])
    """

    def __init__(self, modalities: Sequence[str]) -> None:
        if not modalities:
            raise ValueError(f"a batch needs at least one modality, however: modalities={list(modalities)}")
        self.modalities = list(modalities)

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, tuple[()], dict[str, torch.Tensor]]:
        """Give inputs, label (None where the batch has none), no further arguments, and arguments by name.

        Raises:
            KeyError: the batch lacks a modality or its mask.
        """
        names = [*self.modalities, *(f"{name}_missing" for name in self.modalities)]
        lacking = [name for name in names if name not in batchdata]
        if lacking:
            raise KeyError(f"a batch must hold {names}, however: it lacks {lacking}; load every modality or mark it")
        moved = {name: batchdata[name].to(device, non_blocking=non_blocking, **kwargs) for name in names}
        label = batchdata.get(CommonKeys.LABEL)
        if label is not None:
            label = label.to(device, non_blocking=non_blocking, **kwargs)
        return moved.pop(self.modalities[0]), label, (), moved
