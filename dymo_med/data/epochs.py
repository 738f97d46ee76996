"""A data set whose random transforms depend on seed, epoch and sample alone."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from monai.data import Dataset
from monai.transforms import Compose, Randomizable

from dymo_med.utils import derived_seed

__all__ = ["SeededDataset"]


class SeededDataset(Dataset):
    """MONAI's Dataset, with the random state of every transform set anew for every sample.

    What is drawn for a sample depends neither on the samples before it, nor on the worker or process that loads it, so
    that an interrupted run draws on as if it had not been, and N processes draw what one would. All transforms draw
    from one stream, in their order: MONAI seeds each of them on its own, which takes longer than most of them do.

    Args:
        data: Datalist.
        transform: Transform, a callable or a list of them.
        seed: Another seed gives other draws.

    Example:
        >>> from monai.transforms import RandScaleIntensityd
        >>> import torch
        >>> data = SeededDataset([{"image": torch.ones(1)}] * 2, RandScaleIntensityd("image", 0.3, prob=1.0), seed=1)
        >>> bool(data[1]["image"] == data[1]["image"]), bool(data[0]["image"] == data[1]["image"])
        (True, False)
    """

    def __init__(
        self, data: Sequence[Any], transform: Sequence[Callable[..., Any]] | Callable[..., Any] | None, seed: int
    ) -> None:
        super().__init__(data, transform)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Name the epoch; before the data loader begins with it."""
        self.epoch = epoch

    def _transform(self, index: int) -> Any:
        seed = derived_seed(self.seed, self.epoch, index)
        _draw_from(np.random.RandomState(np.random.PCG64(seed)), self.transform)
        return super()._transform(index)


def _draw_from(stream: np.random.RandomState, transform: Any) -> None:
    if isinstance(transform, Compose):
        Randomizable.set_random_state(transform, state=stream)  # its own draws: Compose would seed its parts from them
        for part in transform.transforms:
            _draw_from(stream, part)
    elif isinstance(transform, Randomizable):
        transform.set_random_state(state=stream)
