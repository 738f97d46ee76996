"""MONAI transforms: loading with masks, simulated missingness, corruption of tables, published augmentation."""

from dymo_med.transforms.augmentation import RandColorJitterd, RandResizedCropd
from dymo_med.transforms.loading import LoadOrMissingd, TableOrMissingd
from dymo_med.transforms.missingness import RandTableCorruptiond, SimulateMissingd
from dymo_med.transforms.modalities import SimulateMissingModalitiesd

__all__ = [
    "LoadOrMissingd",
    "RandColorJitterd",
    "RandResizedCropd",
    "RandTableCorruptiond",
    "SimulateMissingModalitiesd",
    "SimulateMissingd",
    "TableOrMissingd",
]
