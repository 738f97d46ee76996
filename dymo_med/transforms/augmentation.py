"""The published image augmentation, for comparison with the papers (albumentations 1.3.1, as their code calls it).

It treats the three cine frames as red, green and blue. The bundles' own augmentation does not: see docs/bundles.md.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

from dymo_med.utils import check_fraction

__all__ = [
    "RandColorJitterD",
    "RandColorJitterDict",
    "RandColorJitterd",
    "RandResizedCropD",
    "RandResizedCropDict",
    "RandResizedCropd",
]

GRAY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in gray, ITU-R BT.601."""
ATTEMPTS = 10
"""Draws of a crop that may fail to fit before the whole image is taken."""


class RandColorJitterd(RandomizableTransform, MapTransform):
    """Changes brightness, contrast, saturation and hue in random order, each result clipped to [0, 1].

    Saturation and hue mix the channels, so that cine frames mix into each other: only to reproduce published results.

    Args:
        keys: Images (3, X, Y) in [0, 1].
        brightness: Factor is drawn from 1 - this to 1 + this.
        contrast: Likewise, about the mean gray of the image.
        saturation: Likewise, about the gray of each pixel.
        hue: Turn of the color circle is drawn from -this to +this; 1 = a whole turn.
        prob: Probability that a sample is changed at all.
        allow_missing_keys: Leave samples without a key as they are.

    Raises:
        ValueError: a range or probability is no fraction, or an image has not three channels.

    Source: the cardiac transforms of TIP and DyMo.

    Example:
        >>> jitter = RandColorJitterd("image", hue=0.0, saturation=0.0, contrast=0.0, prob=1.0).set_random_state(1)
        >>> [round(float(value), 2) for value in jitter({"image": torch.full((3, 1, 1), 0.5)})["image"].flatten()]
        [0.61, 0.61, 0.61]
    """

    def __init__(
        self,
        keys: KeysCollection,
        brightness: float = 0.5,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 0.2,
        prob: float = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        self.ranges = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
        for name, value in {**self.ranges, "prob": prob}.items():
            check_fraction(name, value)
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self._draws: list[tuple[str, float]] = []

    def randomize(self, data: Any = None) -> None:
        """Draw whether to change, the four amounts and their order.

        Args:
            data: Not used.
        """
        super().randomize(data)
        if self._do_transform:
            amounts = [(name, self.R.uniform(-width, width)) for name, width in self.ranges.items()]
            self._draws = [amounts[place] for place in self.R.permutation(len(amounts))]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Give a copy of the sample with changed images.

        Args:
            data: Sample with the images.

        Returns:
            The sample; inputs are left as they are.
        """
        d = dict(data)
        for key in self.key_iterator(d):
            image = torch.as_tensor(d[key])
            if image.ndim != 3 or len(image) != 3:
                raise ValueError(
                    f"color needs three channels, however: {key}.shape={tuple(image.shape)}; use the bundle's own "
                    "augmentation"
                )
            self.randomize()
            if self._do_transform:
                for name, amount in self._draws:
                    image = _CHANGES[name](image, amount).clamp(0, 1)
            d[key] = image
        return d


class RandResizedCropd(RandomizableTransform, MapTransform):
    """Takes a random rectangle of the image and enlarges it to the whole; every channel loses and keeps the same.

    Args:
        keys: Images (C, X, Y).
        area: Smallest and largest share of the image area.
        aspect: Smallest and largest ratio of the sides; not 1 deforms the anatomy.
        prob: Probability that a sample is cropped.
        allow_missing_keys: Leave samples without a key as they are.

    Raises:
        ValueError: a share is no fraction, or a pair is not positive and in order.

    Source: the cardiac transforms of TIP (area 0.2 to 1 in pre-training) and DyMo (0.6 to 1).

    Example:
        >>> crop = RandResizedCropd("image", area=(0.25, 0.25), aspect=(1, 1)).set_random_state(0)
        >>> crop({"image": torch.arange(16.0).reshape(1, 4, 4)})["image"].shape
        torch.Size([1, 4, 4])
    """

    def __init__(
        self,
        keys: KeysCollection,
        area: Sequence[float] = (0.6, 1.0),
        aspect: Sequence[float] = (3 / 4, 4 / 3),
        prob: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        check_fraction("prob", prob)
        for name, pair in {"area": area, "aspect": aspect}.items():
            if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
                raise ValueError(
                    f"{name} must be two positive numbers in order, however: {list(pair)}; swap or correct"
                )
        check_fraction("area", area[1])
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.area = tuple(area)
        self.aspect = tuple(aspect)
        self._box = (0, 0, 1, 1)

    def randomize(self, data: torch.Tensor) -> None:
        """Draw whether to crop, and the rectangle.

        Args:
            data: Image of the size to crop from.
        """
        super().randomize(None)
        size_x, size_y = data.shape[-2:]
        self._box = (0, 0, size_x, size_y)
        for _ in range(ATTEMPTS if self._do_transform else 0):
            area = self.R.uniform(self.area[0], self.area[1]) * size_x * size_y
            aspect = math.exp(self.R.uniform(math.log(self.aspect[0]), math.log(self.aspect[1])))
            x, y = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < x <= size_x and 0 < y <= size_y:
                self._box = (self.R.randint(size_x - x + 1), self.R.randint(size_y - y + 1), x, y)
                return

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Give a copy of the sample with cropped images.

        Args:
            data: Sample with the images.

        Returns:
            The sample; inputs are left as they are.
        """
        d = dict(data)
        for key in self.key_iterator(d):
            image = torch.as_tensor(d[key])
            self.randomize(image)
            left, top, x, y = self._box
            part = image[None, :, left : left + x, top : top + y]
            whole = (x, y) == tuple(image.shape[-2:])
            d[key] = image if whole else F.interpolate(part, image.shape[-2:], mode="bilinear")[0]
        return d


def _gray(image: torch.Tensor) -> torch.Tensor:
    return (image * image.new_tensor(GRAY)[:, None, None]).sum(0)


def _brightness(image: torch.Tensor, amount: float) -> torch.Tensor:
    return image * (1 + amount)


def _contrast(image: torch.Tensor, amount: float) -> torch.Tensor:
    return image * (1 + amount) - _gray(image).mean() * amount


def _saturation(image: torch.Tensor, amount: float) -> torch.Tensor:
    return image * (1 + amount) - _gray(image) * amount


def _hue(image: torch.Tensor, amount: float) -> torch.Tensor:
    """Turn the hue at equal value and chroma."""
    value = image.amax(0)
    chroma = value - image.amin(0)
    red, green, blue = image
    safe = chroma.clamp_min(torch.finfo(image.dtype).tiny)
    sector = torch.where(
        value == red,
        (green - blue) / safe % 6,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sector = sector + 6 * amount
    turned = [(number + sector) % 6 for number in (5, 3, 1)]
    return torch.stack([value - chroma * torch.minimum(k, 4 - k).clamp(0, 1) for k in turned])


_CHANGES = {"brightness": _brightness, "contrast": _contrast, "saturation": _saturation, "hue": _hue}

RandColorJitterD = RandColorJitterDict = RandColorJitterd
RandResizedCropD = RandResizedCropDict = RandResizedCropd
