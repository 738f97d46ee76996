"""MONAI inferers: training over sampled subsets, TIP pre-training, prediction with selection."""

from dymo_med.inferers.bank import Encoded, build_bank, encode_shared
from dymo_med.inferers.batches import PrepareModalities
from dymo_med.inferers.moddrop import ModDropInferer
from dymo_med.inferers.mopoe import MoPoEInferer
from dymo_med.inferers.policy import Policy, policy_for, read_policy
from dymo_med.inferers.selection import SelectionInferer
from dymo_med.inferers.training import SubsetInferer, TIPPretrainingInferer

__all__ = [
    "Encoded",
    "MoPoEInferer",
    "ModDropInferer",
    "Policy",
    "PrepareModalities",
    "SelectionInferer",
    "SubsetInferer",
    "TIPPretrainingInferer",
    "build_bank",
    "encode_shared",
    "policy_for",
    "read_policy",
]
