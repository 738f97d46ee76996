"""One entry for the forms in which people hold short-axis cine MRI."""

import re
from collections.abc import Sequence
from pathlib import Path

from dymo_med.data.cine.archive import IntakeLimits
from dymo_med.data.cine.dicom import agrees_with_name, read_dicom_zip
from dymo_med.data.cine.nifti import EDESPair, read_nifti_cine, read_nifti_pair
from dymo_med.data.cine.stack import CineStack
from dymo_med.utils import SubjectError, check_positive_int

__all__ = ["check_patient_numbering", "find_cine_zips", "read_cine"]

DEFAULT_LIMITS = IntakeLimits()

_N_COMPARED = 5
"""Zips whose Patient ID is compared with their names before all of them are read."""


def read_cine(
    source: Path | EDESPair, *, limits: IntakeLimits = DEFAULT_LIMITS, match_patient: bool = True
) -> CineStack:
    """Read a short-axis cine: DICOM zip (UK Biobank field 20209), 4D NIfTI, or a pair of NIfTI files at ED and ES.

    The three forms of one acquisition give the same frames. A DICOM frame keeps its display orientation: X runs along a
    row from left to right, Y down a column. A NIfTI file is flipped and its first two axes swapped as far as its affine
    asks for, so that X runs towards the patient's left and Y downwards, as short-axis DICOM is displayed.

    Args:
        source: ``.zip``, ``.nii`` or ``.nii.gz`` file, or a pair.
        limits: Bounds beyond which a file is refused.
        match_patient: Refuse a zip named after one participant with the Patient ID of another. False where Patient ID
            is a number of another kind.

    Returns:
        Geometry in RAS, and pixels that are decoded when asked for.

    Raises:
        SubjectError: the source cannot be used; the text says why and what to do, and names no path.

    Example:
        >>> try:
        ...     read_cine(Path("scan.png"))
        ... except SubjectError as err:
        ...     print(err)
        ending '.png' in the cine file: pass a .zip of DICOM files, a .nii or .nii.gz file
    """
    if isinstance(source, EDESPair):
        return read_nifti_pair(source, limits)
    name = source.name.lower()
    if name.endswith(".zip"):
        return read_dicom_zip(source, limits, match_patient=match_patient)
    if name.endswith((".nii", ".nii.gz")):
        return read_nifti_cine(source, limits)
    raise SubjectError(
        f"ending {source.suffix!r}", where="the cine file", remedy="pass a .zip of DICOM files, a .nii or .nii.gz file"
    )


def check_patient_numbering(paths: Sequence[Path], *, limits: IntakeLimits = DEFAULT_LIMITS) -> None:
    """Refuse a download whose Patient IDs are numbers like participant ids, but never those of the file names.

    Five zips, evenly spaced, are looked at: one wrong subject is a fault of that subject, five of five are another
    numbering, for which no subject should pay.

    Args:
        paths: Zips of the download, in any order.
        limits: Bounds to keep.

    Raises:
        ValueError: none of them agrees, and three or more could be compared.

    Example:
        >>> check_patient_numbering([])
    """
    ordered = sorted(paths, key=lambda path: path.name)
    chosen = ordered[:: max(1, len(ordered) // _N_COMPARED)][:_N_COMPARED]
    told = [agrees_with_name(path, limits) for path in chosen]
    compared = [answer for answer in told if answer is not None]
    if len(compared) >= 3 and not any(compared):
        raise ValueError(
            "Patient ID (0010,0020) must be the participant of the file name, however: it is another number in "
            f"{len(compared)} of {len(compared)} zips compared: pass '--patient-id other' if these images carry "
            "numbers of another kind, or --images of the right application"
        )


def find_cine_zips(folder: Path, visit: int = 2) -> dict[str, list[Path]]:
    """Find the short-axis cine zips of one visit by their names, at any depth.

    This is the one place where registry identifiers are seen; replace them before anything is written or logged.

    Args:
        folder: Where the bulk download lies.
        visit: UK Biobank instance: 2 is the first imaging visit, 3 the repeat.

    Returns:
        Participant identifier (eid) to its files named ``<eid>_20209_<visit>_0.zip``, sorted; several are copies.

    Raises:
        NotADirectoryError: ``folder`` is no folder.
        ValueError: ``visit`` is not a positive integer.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "9000001_20209_2_0.zip").touch()
        >>> [path.name for path in find_cine_zips(folder)["9000001"]]
        ['9000001_20209_2_0.zip']
    """
    check_positive_int("visit", visit)
    if not folder.is_dir():
        raise NotADirectoryError(
            f"the image folder must exist, however: {folder}; pass the folder of the bulk download"
        )
    pattern = re.compile(rf"(\d+)_20209_{visit}_0\.zip")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob(f"*_20209_{visit}_0.zip")):
        if match := pattern.fullmatch(path.name):
            found.setdefault(match[1], []).append(path)
    return found
