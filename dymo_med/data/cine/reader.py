"""One entry for the forms in which people hold short-axis cine MRI."""

import re
from pathlib import Path

from dymo_med.data.cine.archive import IntakeLimits
from dymo_med.data.cine.dicom import read_dicom_zip
from dymo_med.data.cine.nifti import EDESPair, read_nifti_cine, read_nifti_pair
from dymo_med.data.cine.stack import CineStack
from dymo_med.utils import SubjectError, check_positive_int

__all__ = ["find_cine_zips", "read_cine"]

DEFAULT_LIMITS = IntakeLimits()


def read_cine(source: Path | EDESPair, *, limits: IntakeLimits = DEFAULT_LIMITS) -> CineStack:
    """Read a short-axis cine: DICOM zip (UK Biobank field 20209), 4D NIfTI, or a pair of NIfTI files at ED and ES.

    The three forms of one acquisition give the same frames. A DICOM frame keeps its display orientation: X runs along a
    row from left to right, Y down a column. A NIfTI file is flipped and its first two axes swapped as far as its affine
    asks for, so that X runs towards the patient's left and Y downwards, as short-axis DICOM is displayed.

    Args:
        source: ``.zip``, ``.nii`` or ``.nii.gz`` file, or a pair.
        limits: Bounds beyond which a file is refused.

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
        return read_dicom_zip(source, limits)
    if name.endswith((".nii", ".nii.gz")):
        return read_nifti_cine(source, limits)
    raise SubjectError(
        f"ending {source.suffix!r}", where="the cine file", remedy="pass a .zip of DICOM files, a .nii or .nii.gz file"
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
