"""Sizes of networks by the names that bundle configurations give them."""

from typing import Any

from dymo_med.networks.nets import TIP, MultimodalTransformer

__all__ = ["bundle_sizes"]


def bundle_sizes(network: MultimodalTransformer, tip: TIP | None = None) -> dict[str, Any]:
    """Give what a bundle's ``sizes`` must say to build the networks anew.

    Args:
        network: Classifier of the modalities ``image`` and ``table``.
        tip: Recovery of the table; its encoders must have the sizes of the classifier's, as bundles have it.

    Raises:
        ValueError: the encoders differ.
    """
    sizes = _encoder_sizes(network.encoders["image"], network.encoders["table"])
    if tip is not None:
        other = _encoder_sizes(tip.encoder_imaging, tip.encoder_tabular)
        if other != sizes:
            raise ValueError(
                f"a bundle builds the encoders of classifier and recovery alike, however: {sizes} and {other}: pass "
                "checkpoints of the same data set"
            )
        blocks: Any = tip.transformer_blocks
        projector: Any = tip.projector_tabular
        sizes |= {
            "tip_blocks": len(blocks),
            "tip_heads": blocks[0].attn.n_heads,
            "tip_projection_dim": projector[-1].out_features,
        }
    fusion: Any = network.transformer
    return sizes | {
        "fusion_dim": network.cls_token.shape[-1],
        "fusion_blocks": len(fusion),
        "fusion_heads": fusion[0].attn.n_heads,
        "embedding_dim": network.projection.out_features,
    }


def _encoder_sizes(image: Any, table: Any) -> dict[str, Any]:
    stages = [getattr(image.network, f"layer{number}") for number in (1, 2, 3, 4)]
    return {
        "resnet_block": "bottleneck" if hasattr(stages[0][0], "conv3") else "basic",
        "resnet_layers": [len(stage) for stage in stages],
        "resnet_channels": [stage[0].conv1.out_channels for stage in stages],
        "table_dim": table.token_dim,
        "table_blocks": len(table.transformer_blocks),
        "table_heads": table.transformer_blocks[0].attn.n_heads,
    }
