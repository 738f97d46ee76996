"""Published class statistics of the metric space."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dymo_med.interop.archive import TorchFile
from dymo_med.interop.pickles import TensorRecord
from dymo_med.missingness.subsets import subset_codes
from dymo_med.selection import ClassStatistics
from dymo_med.utils import Metric

__all__ = ["load_statistics"]

_TENSORS = {"prototypes": "prototypes", "overall_prototypes": "overall", "dist_std": "std"}
_UNUSED = ("t_dist_params",)


def load_statistics(path: str | Path, statistics: ClassStatistics) -> list[str]:
    """Set class statistics from ``subset_gaussian.pt`` or ``subset_gaussian_EU.pt``.

    The rows of the file are put in place by the masks in it, whatever their order.

    Args:
        path: The file.
        statistics: Those of a network with the same modalities, classes, metric space and metric.

    Returns:
        Entries of the file that are known and not needed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, lacks an entry or has another one, its shapes or subsets are not those of
            the network, or it was made for the other metric.
    """
    file = TorchFile(path)
    content = file.content if isinstance(file.content, dict) else {}
    expected = {*_TENSORS, "id2subset", "subset2id"}
    for problem, found in (
        ("missing", expected - content.keys()),
        ("additional", content.keys() - expected - set(_UNUSED)),
    ):
        if found:
            raise ValueError(
                f"{file.name} must hold {sorted(expected)}, however: {problem} {sorted(map(str, found))}: pass "
                "subset_gaussian.pt"
            )
    codes = _codes(content, statistics.n_modalities, file.name)
    for published, own in _TENSORS.items():
        buffer: torch.Tensor = getattr(statistics, own)
        value = _read(file, published, content[published], tuple(buffer.shape))
        buffer.copy_(value if own == "overall" else torch.empty_like(value).index_copy_(0, codes, value))
    longest = float(statistics.prototypes.norm(dim=-1).max())
    if statistics.metric is Metric.COSINE and longest > 1 + 1e-3:
        raise ValueError(
            f"prototypes of {file.name} must lie within the unit sphere for metric 'cosine', however: the longest has "
            f"length {longest:.3f}: pass the statistics of the same training (..._EU.pt belongs to squared_euclidean)"
        )
    if bool((statistics.std < 0).any()):
        raise ValueError(
            f"dist_std of {file.name} must not be negative, however: {float(statistics.std.min())}: get the file again"
        )
    statistics.is_fitted.fill_(True)
    return sorted(content.keys() & set(_UNUSED))


def _read(file: TorchFile, name: str, record: Any, shape: tuple[int, ...]) -> torch.Tensor:
    found = record.shape if isinstance(record, TensorRecord) else type(record).__name__
    if found != shape:
        raise ValueError(
            f"{name} of {file.name} must have shape {shape}, as the classifier, however: {found}: pass the statistics "
            "of the same training"
        )
    value = file.tensor(name, record).float()
    if not bool(value.isfinite().all()):
        raise ValueError(
            f"{name} of {file.name} must be finite, however: {int((~value.isfinite()).sum())} numbers are not: get the "
            "file again"
        )
    return value


def _codes(content: Mapping[str, Any], n_modalities: int, name: str) -> torch.Tensor:
    """Give the own code of every row of the file, from its masks (True = missing)."""
    masks, inverse = content["id2subset"], content["subset2id"]
    n_subsets = 2**n_modalities - 1
    is_whole = (
        isinstance(masks, dict)
        and masks.keys() == set(range(n_subsets))
        and all(
            isinstance(mask, tuple) and [type(entry) for entry in mask] == [bool] * n_modalities
            for mask in masks.values()
        )
    )
    codes = subset_codes(~torch.tensor([masks[row] for row in range(n_subsets)])) if is_whole else torch.tensor([])
    if sorted(codes.tolist()) != list(range(n_subsets)):
        raise ValueError(
            f"id2subset of {name} must give every non-empty subset of {n_modalities} modalities once, however: "
            f"{str(masks)[:120]}: pass the statistics of the same training"
        )
    if inverse != {mask: row for row, mask in masks.items()}:
        raise ValueError(
            f"subset2id of {name} must be the inverse of id2subset, however: {str(inverse)[:120]}: get the file again"
        )
    return codes
