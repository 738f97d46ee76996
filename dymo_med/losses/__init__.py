"""Losses of classifier training and of the training of recoveries."""

from dymo_med.losses.mopoe import MoPoELoss
from dymo_med.losses.prototype import PrototypeLoss
from dymo_med.losses.tip import TIPLoss

__all__ = ["MoPoELoss", "PrototypeLoss", "TIPLoss"]
