"""Losses of classifier training and of TIP pre-training."""

from dymo_med.losses.prototype import PrototypeLoss
from dymo_med.losses.tip import TIPLoss

__all__ = ["PrototypeLoss", "TIPLoss"]
