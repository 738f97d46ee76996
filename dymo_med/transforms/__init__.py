"""MONAI transforms: loading with masks, simulated missingness, corruption of tables."""

from dymo_med.transforms.loading import LoadOrMissingd, TableOrMissingd
from dymo_med.transforms.missingness import RandTableCorruptiond, SimulateMissingd

__all__ = ["LoadOrMissingd", "RandTableCorruptiond", "SimulateMissingd", "TableOrMissingd"]
