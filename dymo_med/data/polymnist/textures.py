"""Photographs that scikit-image ships, as backgrounds."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["DEFAULT_TEXTURES", "PACKAGED", "read_textures"]

PACKAGED = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket")
"""Color photographs inside the wheel of scikit-image 0.26: nothing is downloaded."""
DEFAULT_TEXTURES = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry")
"""One for each of the five modalities."""


def read_textures(names: Sequence[str] = DEFAULT_TEXTURES) -> list[npt.NDArray[np.uint8]]:
    """Read photographs.

    Args:
        names: Names out of :data:`PACKAGED`.

    Returns:
        One array (X, Y, 3) of uint8 for each name.

    Raises:
        ModuleNotFoundError: scikit-image is not installed.
        ValueError: a name is unknown.

    Example:
        >>> [photograph.shape for photograph in read_textures(["coffee"])]
        [(400, 600, 3)]
    """
    unknown = sorted(set(names) - set(PACKAGED))
    if unknown:
        raise ValueError(f"textures must be of {list(PACKAGED)}, however: {unknown}; choose among those")
    try:
        import skimage.data
    except ModuleNotFoundError as err:
        raise ModuleNotFoundError(
            f"textures {list(names)} are photographs of scikit-image, which is not installed: "
            "run pip install 'dymo-med[polymnist]'"
        ) from err
    return [np.asarray(getattr(skimage.data, name)(), dtype=np.uint8) for name in names]
