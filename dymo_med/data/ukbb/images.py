"""Images of a download by the names of their files, under any layout of folders."""

import re
from collections.abc import Mapping
from pathlib import Path

from dymo_med.data.cine import EDESPair, find_cine_zips
from dymo_med.data.ukbb.pseudonyms import Pseudonymizer
from dymo_med.data.ukbb.set_aside import SetAside
from dymo_med.utils import SubjectError

__all__ = ["ImageSource", "index_images"]

ImageSource = Path | EDESPair
"""A zip of field 20209, a 4D NIfTI file, or a pair of NIfTI files."""


def index_images(
    folder: Path,
    visit: int,
    pseudonymizer: Pseudonymizer,
    aside: SetAside,
    *,
    nifti: str | None = None,
    bridge: Mapping[str, str] | None = None,
) -> dict[str, ImageSource]:
    """Find the image of each subject.

    Args:
        folder: Where the images lie, at any depth.
        visit: Visit of the scan; part of the names of zips.
        pseudonymizer: Makes the keys.
        aside: Receives subjects with several images, one file of a pair, or an id that the bridge lacks.
        nifti: Names of NIfTI files instead of zips, with ``{id}`` for the participant and ``*`` for anything within one
            name: ``"{id}/sa.nii.gz"``, or ``"{id}/sa_ED.nii.gz;{id}/sa_ES.nii.gz"`` for a pair.
        bridge: Id in the tables by id of the images; None if they are the same.

    Returns:
        Image by pseudonym, sorted, those set aside included. The paths hold registry ids: do not write them down.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: nothing is found, or ``nifti`` is no such pattern.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "9000001").mkdir()
        >>> (folder / "9000001" / "sa.nii.gz").touch()
        >>> found = index_images(folder, 2, Pseudonymizer(folder / "key"), SetAside(), nifti="{id}/sa.nii.gz")
        >>> [path.name for path in found.values()]
        ['sa.nii.gz']
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no image folder {folder.name}: pass the folder with the zips of field 20209")
    parts = [find_cine_zips(folder, visit)] if nifti is None else [_find(folder, part) for part in _parts(nifti)]
    ids = sorted(set().union(*parts))
    if not ids:
        expected = f"short-axis zips (names end in _20209_{visit}_0.zip)" if nifti is None else f"files like {nifti}"
        raise ValueError(
            f"image folder {folder.name} must hold {expected}, however: {len(ids)} found: pass the folder of the bulk "
            "download, another visit, or the pattern of NIfTI files"
        )
    images: dict[str, ImageSource] = {}
    for registry_id in ids:
        subject = _subject(registry_id, pseudonymizer, bridge, aside)
        found = [part.get(registry_id, []) for part in parts]
        if error := _problem([len(paths) for paths in found], nifti is None, visit):
            aside.add([subject], "image", error)
        files = [path for paths in found for path in paths[:1]]
        images[subject] = EDESPair(ed=files[0], es=files[1]) if len(files) == 2 else files[0]
    return dict(sorted(images.items()))


def _subject(registry_id: str, pseudonymizer: Pseudonymizer, bridge: Mapping[str, str] | None, aside: SetAside) -> str:
    if bridge is None:
        return pseudonymizer(registry_id)
    if registry_id in bridge:
        return pseudonymizer(bridge[registry_id])
    subject = pseudonymizer(f"image {registry_id}")  # the same number may be another person in the tables
    error = SubjectError("an id of the images", where="no line of the bridge", remedy="ask for the bridge again")
    aside.add([subject], "image", error)
    return subject


def _problem(counts: list[int], is_zip: bool, visit: int) -> SubjectError | None:
    kind = "zips" if is_zip else "NIfTI files"
    where = f"the image folder, short axis, visit {visit}" if is_zip else "the image folder"
    if max(counts) > 1:
        return SubjectError(f"{max(counts)} {kind} of one subject", where=where, remedy="keep one")
    if min(counts) == 0:
        return SubjectError("one file of the pair", where=where, remedy="add the other one")
    return None


def _parts(pattern: str) -> list[str]:
    parts = pattern.split(";")
    for part in parts:
        if "{id}" not in part or not part.endswith((".nii", ".nii.gz")) or len(parts) > 2:
            raise ValueError(
                "a pattern of NIfTI files names one file, or two with ';' between them, each with {id} and ending in "
                f".nii or .nii.gz, however: {pattern!r}: write for instance '{{id}}/sa.nii.gz'"
            )
    return parts


def _find(folder: Path, pattern: str) -> dict[str, list[Path]]:
    """Find the files whose path ends as the pattern says, by participant."""
    words = re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\{id\}", r"(?P<id>\d+)", 1)
    ending = re.compile(r"(?:.*/)?" + words.replace(r"\{id\}", r"(?P=id)"))
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob(pattern.rsplit("/", 1)[-1].replace("{id}", "*"))):
        if match := ending.fullmatch(path.relative_to(folder).as_posix()):
            found.setdefault(match["id"], []).append(path)
    return found
