"""Items of a datalist, modalities missing or not, as tensors that collate."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dymo_med.utils import check_bool_mask, check_positive_int, check_shape

__all__ = [
    "LoadOrMissingD",
    "LoadOrMissingDict",
    "LoadOrMissingd",
    "TableOrMissingD",
    "TableOrMissingDict",
    "TableOrMissingd",
]


class LoadOrMissingd(MapTransform):
    """Reads a modality, or marks the whole of it as missing where the item holds None.

    Beside each ``<key>`` comes ``<key>_missing``, a bool tensor of no dimension (True = absent), which batches to (B,).

    Args:
        keys: Modalities.
        reader: Turns the value of a key into an array, for example the ``read_image`` of a cohort.
        shape: Shape of every array; zeros of it stand where the modality is missing.
        allow_missing_keys: Leave items without a key as they are.

    Raises:
        KeyError: an item lacks a key.
        ValueError: ``shape`` holds anything but positive integers, or an array has another shape.

    Example:
        >>> load = LoadOrMissingd("image", reader=lambda key: torch.ones(1, 2, 2) * key, shape=(1, 2, 2))
        >>> load({"image": 3})["image"].sum(), load({"image": None})["image_missing"]
        (tensor(12.), tensor(True))
    """

    def __init__(
        self,
        keys: KeysCollection,
        reader: Callable[[Any], npt.ArrayLike],
        shape: Sequence[int],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        for at, size in enumerate(shape):
            check_positive_int(f"shape[{at}]", size)
        self.reader = reader
        self.shape = tuple(shape)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Give a copy of the item with tensors and masks."""
        item = dict(data)
        for key in self.key_iterator(item):
            is_missing = item[key] is None
            content = torch.zeros(self.shape) if is_missing else torch.as_tensor(self.reader(item[key]))
            check_shape(str(key), content, self.shape)
            item[key] = content.to(torch.float32)
            item[f"{key}_missing"] = torch.tensor(is_missing)
        return item


class TableOrMissingd(MapTransform):
    """Turns an encoded table row into tensors, or marks all of it as missing where the item holds None.

    Beside each ``<key>`` (F,) float32 stands ``<key>_missing`` (F,) bool, True = absent.

    Args:
        keys: Tables.
        n_columns: Number of columns F.
        allow_missing_keys: Leave items without a key as they are.

    Raises:
        KeyError: an item lacks a key, or a row comes without its mask.
        TypeError: a mask is not boolean.
        ValueError: ``n_columns`` is not a positive integer, or a row or mask has another shape.

    Example:
        >>> item = TableOrMissingd("table", n_columns=2)({"table": None})
        >>> item["table"], item["table_missing"]
        (tensor([0., 0.]), tensor([True, True]))
    """

    def __init__(
        self,
        keys: KeysCollection,
        n_columns: int,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        check_positive_int("n_columns", n_columns)
        self.n_columns = n_columns

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Give a copy of the item with tensors."""
        item = dict(data)
        for key in self.key_iterator(item):
            name = f"{key}_missing"
            if item[key] is None:
                item[key] = torch.zeros(self.n_columns)
                item[name] = torch.ones(self.n_columns, dtype=torch.bool)
                continue
            if item.get(name) is None:
                raise KeyError(f"a row {key!r} must come with {name!r}, however: keys are {sorted(map(str, item))}")
            row, missing = torch.as_tensor(item[key]), torch.as_tensor(item[name])
            check_bool_mask(name, missing)
            check_shape(str(key), row, (self.n_columns,))
            check_shape(name, missing, (self.n_columns,))
            item[key], item[name] = row.to(torch.float32), missing
        return item


LoadOrMissingD = LoadOrMissingDict = LoadOrMissingd
TableOrMissingD = TableOrMissingDict = TableOrMissingd
