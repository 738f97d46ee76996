"""Transformer blocks, and sequences without the tokens that nobody attends to."""

from dymo_med.networks.blocks.packing import pack_rows
from dymo_med.networks.blocks.transformer import (
    CrossAttention,
    CrossAttentionBlock,
    Mlp,
    SelfAttention,
    TransformerBlock,
    initialize_weights,
)

__all__ = [
    "CrossAttention",
    "CrossAttentionBlock",
    "Mlp",
    "SelfAttention",
    "TransformerBlock",
    "initialize_weights",
    "pack_rows",
]
