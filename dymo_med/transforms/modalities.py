"""Whole modalities hidden from a sample, to measure how models bear it."""

import hashlib
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dymo_med.utils import check_fraction

__all__ = [
    "SimulateMissingModalitiesD",
    "SimulateMissingModalitiesDict",
    "SimulateMissingModalitiesd",
]


class SimulateMissingModalitiesd(MapTransform):
    """Hides the same number of modalities from every sample, which ones being drawn for each sample on its own.

    Of the modalities that the sample has, ``round(rate * M)`` are hidden, M being the number of ``keys``; one is always
    left. The draw depends on the seed and the subject alone, and what is hidden at a rate is hidden at every higher
    one. Hidden content becomes nan, so that whatever reads it shows. Place it last, before collation.

    Args:
        keys: Modalities, floating point; beside each ``<key>`` stands ``<key>_missing``.
        rate: Share eta of the modalities to hide, in [0, 1].
        seed: Another seed is another draw.
        id_key: Item that holds the subject's pseudonym.
        allow_missing_keys: Leave out modalities that a sample has no item for.

    Raises:
        KeyError: a sample has no mask or no pseudonym.
        ValueError: ``rate`` is no fraction.

    Source: missing rate of PolyMNIST, BASELINES section 4.4.

    Example:
        >>> hide = SimulateMissingModalitiesd(["m0", "m1"], rate=0.5, seed=1)
        >>> sample = {"subject_id": "s", **{f"m{i}": torch.ones(1) for i in range(2)}}
        >>> sample |= {f"m{i}_missing": torch.tensor(False) for i in range(2)}
        >>> sorted(bool(hide(sample)[f"m{i}_missing"]) for i in range(2))
        [False, True]
    """

    def __init__(
        self,
        keys: KeysCollection,
        rate: float,
        seed: int,
        id_key: str = "subject_id",
        allow_missing_keys: bool = False,
    ) -> None:
        check_fraction("rate", rate)
        super().__init__(keys, allow_missing_keys)
        self.rate = rate
        self.seed = seed
        self.id_key = id_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Give a copy of the sample with some of its modalities missing."""
        item = dict(data)
        present = _present(item, list(self.key_iterator(item)))
        if self.id_key not in item:
            raise KeyError(
                f"a simulated gap needs its subject, however: the sample has no item {self.id_key!r}: add the pseudonym"
            )
        text = f"{self.seed}\n{item[self.id_key]}"
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()))
        order = [str(key) for key in rng.permutation([str(key) for key in self.keys])]
        n_hidden = min(round(self.rate * len(self.keys)), max(len(present) - 1, 0))
        for key in sorted(present, key=order.index)[:n_hidden]:
            _hide(item, key)
        return item


def _present(item: Mapping[Hashable, Any], keys: list[Hashable]) -> list[str]:
    """Name the modalities of which something was observed."""
    for key in keys:
        if f"{key}_missing" not in item:
            raise KeyError(f"every modality needs its mask, however: {key!r} has no item '{key}_missing': add it first")
    return [str(key) for key in keys if not bool(torch.as_tensor(item[f"{key}_missing"]).all())]


def _hide(item: dict[Hashable, Any], key: str) -> None:
    item[key] = torch.full_like(torch.as_tensor(item[key]), torch.nan)
    item[f"{key}_missing"] = torch.ones_like(torch.as_tensor(item[f"{key}_missing"]))


SimulateMissingModalitiesD = SimulateMissingModalitiesDict = SimulateMissingModalitiesd
