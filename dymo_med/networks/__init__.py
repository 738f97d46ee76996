"""Networks, their blocks and their weights."""

from dymo_med.networks.weights import with_weights

__all__ = ["with_weights"]
