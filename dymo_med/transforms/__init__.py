"""MONAI transforms: loading with masks, simulated missingness, corruption of tables, augmentation."""

from dymo_med.transforms.augmentation import RandColorJitterd, RandResizedCropd
from dymo_med.transforms.loading import LoadOrMissingd, TableOrMissingd
from dymo_med.transforms.missingness import RandTableCorruptiond, SimulateMissingd
from dymo_med.transforms.modalities import SimulateMissingModalitiesd
from dymo_med.transforms.spatial import RandSimilarityd

__all__ = [
    "LoadOrMissingd",
    "RandColorJitterd",
    "RandResizedCropd",
    "RandSimilarityd",
    "RandTableCorruptiond",
    "SimulateMissingModalitiesd",
    "SimulateMissingd",
    "TableOrMissingd",
]
