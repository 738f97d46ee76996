"""From an image source to the pixels that are stored, and what tells that a source has changed."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dymo_med.data.frames.parts import Entry, Pixels
from dymo_med.utils import SubjectError

__all__ = ["Outcome", "ReadImage", "read_source", "source_keys"]

ReadImage = Callable[[Any], tuple[npt.NDArray[np.float32], dict[str, Any]]]
"""Turns an image source into the model image (C, X, Y) and details that JSON can hold."""


class Outcome(NamedTuple):
    """What reading one source gave: pixels, or an error."""

    pixels: Pixels | None
    sha256: str = ""
    details: str = "{}"
    error: str = ""
    problem: str = ""


def source_keys(images: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[dict[str, str], list[Entry]]:
    """Give a digest of the files and the settings of each subject, and entries for those whose file is not there."""
    keys: dict[str, str] = {}
    absent: list[Entry] = []
    for subject in sorted(images):
        try:
            sizes = [(status.st_size, status.st_mtime_ns) for status in map(Path.stat, _paths(images[subject]))]
        except OSError as err:
            problem = SubjectError(
                f"no file can be opened ({err.strerror})", where="the image source", remedy="check that it exists"
            )
            absent.append(Entry(subject, "", -1, "", "{}", "SubjectError", str(problem)))
            continue
        text = json.dumps({"files": sizes, "settings": settings}, sort_keys=True, allow_nan=False)
        keys[subject] = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return keys, absent


def _paths(source: Any) -> Iterator[Path]:
    if dataclasses.is_dataclass(source):
        yield from (getattr(source, field.name) for field in dataclasses.fields(source))
    else:
        yield Path(source)


def read_source(read: ReadImage, shape: tuple[int, ...], source: Any) -> Outcome:
    """Read one source; whatever goes wrong becomes the reason why its subject has no image."""
    try:
        image, details = read(source)
        pixels = _as_stored(image, shape)
        return Outcome(pixels, sha256=hashlib.sha256(pixels.tobytes()).hexdigest(), details=json.dumps(details))
    except SubjectError as err:
        return Outcome(None, error="SubjectError", problem=str(err))
    except Exception as err:  # noqa: BLE001 - whatever a damaged file provokes costs its subject, never the cohort
        name = type(err).__name__
        problem = SubjectError(f"unexpected {name}", where="the image source", remedy="look at this file by itself")
        return Outcome(None, error=name, problem=str(problem))


def _as_stored(image: npt.NDArray[Any], shape: tuple[int, ...]) -> Pixels:
    if image.shape != shape:
        raise SubjectError(f"image shape {image.shape}", where="the model image", remedy=f"it must be {shape}")
    if not (np.abs(image) <= np.finfo(np.float16).max).all():  # nan compares as False
        problem = "values that are not finite or too large"
        raise SubjectError(problem, where="the model image", remedy="check the intensities of this scan")
    return image.astype(np.float16)
