"""Where the anatomy lies in the image: moved at random in training."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

from dymo_med.utils import check_fraction

__all__ = ["RandSimilarityD", "RandSimilarityDict", "RandSimilarityd"]


class RandSimilarityd(RandomizableTransform, MapTransform):
    """Turns, enlarges and shifts images, all channels alike and shapes kept, in one interpolation.

    MONAI's ``RandAffined`` scales each axis by a factor of its own; followed by ``RandZoomd`` it interpolates twice,
    which blurs more and takes several times as long. Beyond the border stands the nearest pixel; nothing is mirrored.

    Args:
        keys: Images (C, X, Y), floating point; every one is drawn for on its own.
        rotate_range: Largest angle about the center, either way, in radians.
        translate_range: Largest shift along each axis, either way, in pixels of the input.
        zoom_range: Smallest and largest factor, the same along both axes; above 1 enlarges.
        prob: Probability that a sample is changed at all.
        allow_missing_keys: Leave samples without a key as they are.

    Raises:
        ValueError: the probability is no fraction, a range is negative or not finite, the factors are not positive and
            in order, or an image has not three dimensions.

    Example:
        >>> move = RandSimilarityd("image", rotate_range=0.8, translate_range=4, zoom_range=(0.85, 1.15))
        >>> moved = move.set_random_state(0)({"image": torch.eye(8).expand(3, 8, 8)})["image"]
        >>> moved.shape, bool((moved[0] == moved[2]).all())
        (torch.Size([3, 8, 8]), True)
    """

    def __init__(
        self,
        keys: KeysCollection,
        rotate_range: float = 0.0,
        translate_range: float = 0.0,
        zoom_range: Sequence[float] = (1.0, 1.0),
        prob: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        check_fraction("prob", prob)
        for name, width in {"rotate_range": rotate_range, "translate_range": translate_range}.items():
            if not 0 <= width < math.inf:
                raise ValueError(f"{name} must be 0 or more and finite, however: {name}={width!r}; correct it")
        if len(zoom_range) != 2 or not 0 < zoom_range[0] <= zoom_range[1] < math.inf:
            raise ValueError(
                f"zoom_range must be two positive numbers in order, however: {list(zoom_range)}; swap or correct"
            )
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.rotate_range = rotate_range
        self.translate_range = translate_range
        self.zoom_range = (float(zoom_range[0]), float(zoom_range[1]))
        self._angle, self._zoom, self._shift = 0.0, 1.0, (0.0, 0.0)

    def randomize(self, data: Any = None) -> None:
        """Draw whether to change, the angle, the factor and the shift.

        Args:
            data: Not used.
        """
        super().randomize(data)
        if self._do_transform:
            self._angle = self.R.uniform(-self.rotate_range, self.rotate_range)
            self._zoom = self.R.uniform(*self.zoom_range)
            along_x, along_y = self.R.uniform(-self.translate_range, self.translate_range, size=2)
            self._shift = (along_x, along_y)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Give a copy of the sample with moved images.

        Args:
            data: Sample with the images.

        Returns:
            The sample; inputs are left as they are.
        """
        d = dict(data)
        for key in self.key_iterator(d):
            image = torch.as_tensor(d[key])
            if image.ndim != 3:
                raise ValueError(f"an image must be (C, X, Y), however: {key}.shape={tuple(image.shape)}; load frames")
            self.randomize()
            d[key] = self._move(image) if self._do_transform else image
        return d

    def _move(self, image: torch.Tensor) -> torch.Tensor:
        """Read at every pixel p of the output, from the center, the input at turn(p) / zoom + shift."""
        size_x, size_y = image.shape[-2:]
        cos, sin = math.cos(self._angle) / self._zoom, math.sin(self._angle) / self._zoom
        shift_x, shift_y = (2 * shift / size for shift, size in zip(self._shift, (size_x, size_y), strict=True))
        # torch puts the last axis first and counts from -1 to 1 along each
        matrix = [[cos, sin * size_x / size_y, shift_y], [-sin * size_y / size_x, cos, shift_x]]
        grid = F.affine_grid(image.new_tensor([matrix]), [1, *image.shape], align_corners=False)
        return F.grid_sample(image[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]


RandSimilarityD = RandSimilarityDict = RandSimilarityd
