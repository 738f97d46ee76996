"""MONAI inferers: training over sampled subsets, TIP pre-training, prediction with selection."""

from dymo_med.inferers.selection import Policy, SelectionInferer, build_bank
from dymo_med.inferers.training import SubsetInferer, TIPPretrainingInferer

__all__ = ["Policy", "SelectionInferer", "SubsetInferer", "TIPPretrainingInferer", "build_bank"]
