"""Transformer blocks."""

from dymo_med.networks.blocks.transformer import (
    CrossAttention,
    CrossAttentionBlock,
    Mlp,
    SelfAttention,
    TransformerBlock,
    initialize_weights,
)

__all__ = ["CrossAttention", "CrossAttentionBlock", "Mlp", "SelfAttention", "TransformerBlock", "initialize_weights"]
