"""A written set as datalists for MONAI, pictures composed when asked for."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from monai.transforms import RandomizableTransform

from dymo_med.data.polymnist import layout
from dymo_med.utils import read_json, sha256_of

__all__ = ["PolyMNIST", "RandPairing"]

Place = tuple[int, int, int, int]
"""Modality, digit, row and column of the crop: all that a picture is made of."""


class PolyMNIST:
    """The samples of a folder that :func:`dymo_med.data.polymnist.write_polymnist` wrote.

    Args:
        folder: Folder of the set.

    Raises:
        FileNotFoundError: the folder holds no complete set.
        ValueError: it is of another format version, or a file is not the one that was written.

    Example:
        >>> try:
        ...     PolyMNIST("no_such_folder")
        ... except FileNotFoundError as err:
        ...     print(err)
        no complete set at no_such_folder (no polymnist.json): run 'dymo-med polymnist' to its end
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._about = _read_about(self.folder)
        self.modalities: list[str] = list(self._about["modalities"])
        self._digits: npt.NDArray[np.uint8] = np.load(self.folder / layout.DIGITS_FILE, allow_pickle=False)
        self._textures: list[npt.NDArray[np.uint8]] = [
            np.load(self.folder / layout.texture_file(name), allow_pickle=False) for name in self.modalities
        ]
        self.samples = pd.read_csv(self.folder / layout.SAMPLES_FILE, dtype={"subject_id": "str", "split": "str"})

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def data_kind(self) -> str:
        """What the data are."""
        return str(self._about["data_kind"])

    @property
    def digest(self) -> str:
        """SHA-256 of the settings with the digests of all files: names the data of a result."""
        return sha256_of(self.folder / layout.ABOUT_FILE)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (C, X, Y) of every picture."""
        return (3, layout.SIZE, layout.SIZE)

    @property
    def splits(self) -> list[str]:
        """Names of the splits."""
        return sorted(self.samples["split"].unique())

    def items(self, split: str | Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Give the samples as a MONAI datalist.

        Args:
            split: Name of a split, or names of several; None for all samples.

        Returns:
            Per sample ``subject_id``, ``label`` (int), and under the name of each modality the key for
            :meth:`read_image`.

        Raises:
            ValueError: there is no such split.
        """
        wanted = self.splits if split is None else [split] if isinstance(split, str) else list(split)
        if not set(wanted) <= set(self.splits):
            raise ValueError(f"split must be one of {self.splits} or None, however: split={split!r}")
        rows = self.samples[self.samples["split"].isin(wanted)]
        items: list[dict[str, Any]] = [
            {"subject_id": subject, "label": int(label)}
            for subject, label in rows[["subject_id", "label"]].itertuples(index=False)
        ]
        for index, name in enumerate(self.modalities):
            columns = [f"{name}_{part}" for part in ("digit", "row", "column")]
            for item, place in zip(items, rows[columns].to_numpy().tolist(), strict=True):
                item[name] = (index, *place)
        return items

    def read_image(self, key: Place) -> npt.NDArray[np.float32]:
        """Compose a picture: a crop of the photograph, its colors inverted where the digit is.

        Args:
            key: Key of an item.

        Returns:
            (C, X, Y) float32 between 0 and 1.
        """
        modality, digit, row, column = key
        crop = self._textures[modality][row : row + layout.SIZE, column : column + layout.SIZE]
        is_digit = self._digits[digit, :, :, np.newaxis] > 127
        picture: npt.NDArray[np.float32] = np.where(is_digit, 255 - crop, crop).astype(np.float32) / np.float32(255)
        return picture.transpose(2, 0, 1)

    def draw_place(self, modality: int, digit: int, rng: np.random.RandomState) -> Place:
        """Place a digit on a random crop of a modality's photograph.

        Args:
            modality: Index of the modality.
            digit: Index of the digit.
            rng: Source of the draws.
        """
        height, width = self._textures[modality].shape[:2]
        return (modality, digit, rng.randint(height - layout.SIZE + 1), rng.randint(width - layout.SIZE + 1))


class RandPairing(RandomizableTransform):
    """Pairs digits and crops afresh: in every modality a random digit of the sample's class on a random crop.

    With it an epoch never shows the same sample twice. Place it before the pictures are read; a modality that the item
    lacks (None) stays absent.

    Args:
        data: Set that the items come from.
        split: Split that the digits come from, or several: those of the items.
        prob: Probability that a sample is drawn afresh; 0 keeps the pairs as they were written.

    Raises:
        ValueError: there is no such split.

    Example:
        >>> import tempfile
        >>> from dymo_med.data.polymnist import write_polymnist
        >>> digits, photograph = np.zeros((40, 28, 28), np.uint8), np.zeros((40, 40, 3), np.uint8)
        >>> labels = np.arange(40, dtype=np.uint8) % 2
        >>> data = write_polymnist(tempfile.mkdtemp(), digits=digits, labels=labels, textures=[photograph])
        >>> item = data.items("train")[0]
        >>> RandPairing(data, "train").set_random_state(seed=1)(item)["m0"] == item["m0"]
        False
    """

    def __init__(self, data: PolyMNIST, split: str | Sequence[str], prob: float = 1.0) -> None:
        super().__init__(prob)
        self.data = data
        items = data.items(split)
        labels = np.array([item["label"] for item in items])
        digits = np.array([item[data.modalities[0]][1] for item in items])
        self._digits = {int(label): digits[labels == label] for label in np.unique(labels)}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Give a copy of the item with other pictures of the same class."""
        item = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return item
        digits = self._digits[item["label"]]
        for index, name in enumerate(self.data.modalities):
            if item[name] is not None:
                item[name] = self.data.draw_place(index, int(digits[self.R.randint(len(digits))]), self.R)
        return item


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / layout.ABOUT_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no complete set at {folder} (no {path.name}): run 'dymo-med polymnist' to its end")
    about = read_json(path)
    found = (about.get("format"), about.get("version")) if isinstance(about, dict) else type(about).__name__
    if found != (layout.FORMAT, layout.VERSION):
        raise ValueError(
            f"{path.name} must be of format {(layout.FORMAT, layout.VERSION)}, however: {found}: make the set again"
        )
    changed = [name for name, digest in about["digests"].items() if _digest_or_none(folder / name) != digest]
    if changed:
        raise ValueError(f"a set must stay as it was written, however: changed are {changed}: make the set again")
    return dict(about)


def _digest_or_none(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None
