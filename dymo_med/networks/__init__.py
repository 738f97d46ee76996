"""Networks, their blocks and their weights, and networks made ready for prediction."""

from dymo_med.networks.inference import Precision, have_same_weights, prepare_for_inference
from dymo_med.networks.weights import with_weights

__all__ = ["Precision", "have_same_weights", "prepare_for_inference", "with_weights"]
