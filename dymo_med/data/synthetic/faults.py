"""The faults that a simulated download can hold, one per subject, as real downloads do."""

from enum import StrEnum

import numpy as np

__all__ = ["PhantomFault", "assign_faults"]


class PhantomFault(StrEnum):
    """What is wrong with one simulated subject.

    ``TRUNCATED_ZIP`` the archive ends early; ``NO_POSITION`` one object of the middle slice lacks
    ImagePositionPatient (0020,0032); ``NO_PIXELS`` one lacks PixelData (7FE0,0010); ``NO_SAX_SERIES`` every series is a
    long-axis view; ``FORGED_LENGTH`` PixelData announces more bytes than Rows and Columns allow; ``NO_ROW`` image
    without table row; ``NO_IMAGE`` row without image; ``TEXT_IN_NUMBER`` words where field 21001 holds a number;
    ``DUPLICATE_ID`` two rows with one participant id; ``UNKNOWN_CODE`` a code that the coding of field 20116 lacks.
    """

    TRUNCATED_ZIP = "truncated_zip"
    NO_POSITION = "no_position"
    NO_PIXELS = "no_pixels"
    NO_SAX_SERIES = "no_sax_series"
    FORGED_LENGTH = "forged_length"
    NO_ROW = "no_row"
    NO_IMAGE = "no_image"
    TEXT_IN_NUMBER = "text_in_number"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_CODE = "unknown_code"


def assign_faults(n_subjects: int, rng: np.random.Generator) -> dict[int, PhantomFault]:
    """Choose one subject for each fault.

    Args:
        n_subjects: Size of the cohort.
        rng: Source of randomness.

    Returns:
        Fault per index of the subject.

    Raises:
        ValueError: there are fewer subjects than faults.

    Example:
        >>> len(assign_faults(12, np.random.default_rng(0)))
        10
    """
    faults = list(PhantomFault)
    if n_subjects < len(faults):
        raise ValueError(
            f"faults need one subject each, {len(faults)} in all, however: n_subjects={n_subjects}; "
            "simulate more subjects or set faults to False"
        )
    chosen = rng.permutation(n_subjects)[: len(faults)]
    return dict(zip(chosen.tolist(), faults, strict=True))
