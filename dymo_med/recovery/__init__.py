"""Recoveries: they fill a missing modality, or say that they cannot."""

from dymo_med.recovery.base import Proposal, Recovery, TableRecovery
from dymo_med.recovery.iterative import IterativeRecovery
from dymo_med.recovery.mopoe import MoPoERecovery
from dymo_med.recovery.simple import MeanModeRecovery
from dymo_med.recovery.tip import TIPRecovery

__all__ = [
    "IterativeRecovery",
    "MeanModeRecovery",
    "MoPoERecovery",
    "Proposal",
    "Recovery",
    "TIPRecovery",
    "TableRecovery",
]
