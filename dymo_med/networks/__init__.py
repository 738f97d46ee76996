"""Networks, their blocks and their weights, what they start from; networks made ready to train or to predict."""

from dymo_med.networks.inference import Precision, have_same_weights, prepare_for_inference
from dymo_med.networks.initialization import initialize_encoders
from dymo_med.networks.training import TrainingPrecision, mixed_dtype, prepare_for_training
from dymo_med.networks.weights import check_fit, with_weights

__all__ = [
    "Precision",
    "TrainingPrecision",
    "check_fit",
    "have_same_weights",
    "initialize_encoders",
    "mixed_dtype",
    "prepare_for_inference",
    "prepare_for_training",
    "with_weights",
]
