"""Names of files and columns of a written set."""

__all__ = ["ABOUT_FILE", "DIGITS_FILE", "FORMAT", "SAMPLES_FILE", "SIZE", "VERSION", "modality_names", "texture_file"]

FORMAT = "dymo_med polymnist"
VERSION = 1

ABOUT_FILE = "polymnist.json"
"""Settings and digests; written last, so that a folder with this file is complete."""
DIGITS_FILE = "digits.npy"
"""(N, 28, 28) uint8, as in the source."""
SAMPLES_FILE = "samples.csv"
"""One row per sample: identifier, split, label, and for each modality digit, row and column of the crop."""

SIZE = 28
"""Edge length of every picture in pixels."""


def modality_names(n_modalities: int) -> list[str]:
    """Name the modalities, as the benchmark does.

    Example:
        >>> modality_names(3)
        ['m0', 'm1', 'm2']
    """
    return [f"m{index}" for index in range(n_modalities)]


def texture_file(modality: str) -> str:
    """Name the file of a background (X, Y, 3) uint8.

    Example:
        >>> texture_file("m0")
        'texture_m0.npy'
    """
    return f"texture_{modality}.npy"
