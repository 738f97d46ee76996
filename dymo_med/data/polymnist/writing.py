"""From digits and photographs to a set of samples with several pictures of the same digit class each."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dymo_med.data.polymnist import layout
from dymo_med.data.polymnist.reading import PolyMNIST
from dymo_med.data.splits import stratified_split
from dymo_med.utils import atomic_path, check_fraction, sha256_of, write_json

__all__ = ["DEFAULT_FRACTIONS", "fractions_of", "write_polymnist"]

DEFAULT_FRACTIONS: Mapping[str, float] = MappingProxyType({"train": 0.8, "val": 0.05, "test": 0.15})
"""Of 10,000 digits 8,000, 500 and 1,500."""


def fractions_of(unlabeled: float) -> dict[str, float]:
    """Divide the training digits of :data:`DEFAULT_FRACTIONS` between classifier and recoveries.

    Pictures of the split ``unlabeled`` are known to show the same thing, and that is all a recovery needs of them.

    Args:
        unlabeled: Share of the training digits, in [0, 1), that only recoveries learn from.

    Raises:
        ValueError: the share is out of range, or leaves no digit to the classifier.

    Example:
        >>> fractions_of(0.75)
        {'train': 0.2, 'val': 0.05, 'test': 0.15, 'unlabeled': 0.6}
    """
    check_fraction("unlabeled", unlabeled)
    if unlabeled == 1:
        raise ValueError(f"a classifier needs training digits, however: unlabeled={unlabeled}; choose a smaller share")
    whole = DEFAULT_FRACTIONS["train"]
    rest = round(whole * unlabeled, 6)
    shares = {**DEFAULT_FRACTIONS, "train": round(whole - rest, 6), "unlabeled": rest}
    return {name: share for name, share in shares.items() if share > 0}


def write_polymnist(
    folder: str | Path,
    *,
    digits: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    textures: Sequence[npt.NDArray[np.uint8]],
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    data_kind: str = "MNIST digits on photographs",
) -> PolyMNIST:
    """Write a set in the manner of PolyMNIST: in every modality another digit of the same class on another photograph.

    Digits are divided into splits first, so that no digit is seen in two of them. A split has as many samples
    as digits; each digit appears once in every modality, on a crop drawn at random. The same arguments give the same
    bytes.

    Args:
        folder: Folder to write; ``polymnist.json`` comes last and tells that it is complete.
        digits: (N, 28, 28) uint8.
        labels: (N,) uint8, class of each digit.
        textures: One photograph (X, Y, 3) uint8 per modality, 28 pixels or more in both directions.
        fractions: Share of the digits by name of the split.
        seed: Another seed gives another division, other pairs and other crops.
        data_kind: What the data are.

    Returns:
        The written set.

    Raises:
        ValueError: shapes do not fit, a photograph is too small, or a split would be empty.
        OSError: the disk is full or the folder cannot be written.

    Source: construction of PolyMNIST, Sutter et al., Generalized Multimodal ELBO, ICLR 2021.

    Example:
        >>> import tempfile
        >>> generator = np.random.default_rng(0)
        >>> digits = generator.integers(0, 256, (40, 28, 28), dtype=np.uint8)
        >>> photographs = [generator.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(2)]
        >>> labels = np.arange(40, dtype=np.uint8) % 2
        >>> data = write_polymnist(tempfile.mkdtemp(), digits=digits, labels=labels, textures=photographs)
        >>> data.modalities, len(data.items("train"))
        (['m0', 'm1'], 32)
    """
    _check_digits(digits, labels)
    _check_textures(textures)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / layout.ABOUT_FILE).unlink(missing_ok=True)
    samples = _draw_samples(labels, textures, fractions, seed)
    names = layout.modality_names(len(textures))
    arrays = {layout.DIGITS_FILE: digits}
    arrays |= {layout.texture_file(name): texture for name, texture in zip(names, textures, strict=True)}
    for name, array in arrays.items():
        _write_array(folder / name, array)
    with atomic_path(folder / layout.SAMPLES_FILE) as temporary:
        samples.to_csv(temporary, index=False)
    digests = {name: sha256_of(folder / name) for name in (*arrays, layout.SAMPLES_FILE)}
    about = {"data_kind": data_kind, "seed": seed, "n_per_split": samples["split"].value_counts().to_dict()}
    head = {"format": layout.FORMAT, "version": layout.VERSION, "modalities": names}
    write_json(folder / layout.ABOUT_FILE, {**head, **about, "digests": digests})
    return PolyMNIST(folder)


def _draw_samples(
    labels: npt.NDArray[np.uint8],
    textures: Sequence[npt.NDArray[np.uint8]],
    fractions: Mapping[str, float],
    seed: int,
) -> pd.DataFrame:
    """Pair the digits of every split and class at random and place each on a crop."""
    ids = [f"P{number:05d}" for number in range(len(labels))]
    splits = stratified_split(pd.DataFrame({"label": labels}, index=ids), fractions, seed)
    rng = np.random.default_rng(seed)
    samples = pd.DataFrame({"subject_id": ids, "split": splits.to_numpy(), "label": labels})
    groups = [group.to_numpy() for _, group in samples.groupby(["split", "label"])["subject_id"]]
    places = pd.Series(range(len(ids)), index=ids)
    for index, texture in enumerate(textures):
        digit = np.zeros(len(ids), dtype=np.int64)
        for members in groups:
            own = places[members].to_numpy()
            digit[own] = rng.permutation(own)
        samples[f"m{index}_digit"] = digit
        for axis, title in enumerate(("row", "column")):
            samples[f"m{index}_{title}"] = rng.integers(0, texture.shape[axis] - layout.SIZE + 1, len(ids))
    return samples


def _check_digits(digits: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> None:
    if digits.shape != (len(labels), layout.SIZE, layout.SIZE) or labels.ndim != 1:
        raise ValueError(
            f"digits must have shape (N, {layout.SIZE}, {layout.SIZE}) and labels (N,), however: digits.shape="
            f"{digits.shape}, labels.shape={labels.shape}; take images and labels of the same part of MNIST"
        )


def _check_textures(textures: Sequence[npt.NDArray[np.uint8]]) -> None:
    if not textures:
        raise ValueError(f"a set needs one photograph or more, however: {len(textures)}; name at least one texture")
    for index, texture in enumerate(textures):
        if texture.ndim != 3 or texture.shape[2] != 3 or min(texture.shape[:2]) < layout.SIZE:
            raise ValueError(
                f"a photograph must have shape (X, Y, 3), X and Y {layout.SIZE} or more, however: textures[{index}] "
                f"has {texture.shape}; choose another"
            )


def _write_array(path: Path, array: npt.NDArray[Any]) -> None:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
