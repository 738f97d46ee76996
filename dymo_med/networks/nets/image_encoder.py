"""Image encoder: a 2D ResNet whose last feature map gives the tokens."""

from collections.abc import Sequence

import torch
from monai.networks.nets import ResNet

from dymo_med.networks.nets.encoder import ModalityEncoder
from dymo_med.utils import rebuildable

__all__ = ["ImageEncoder", "ResNetFeatureMap"]

BLOCK_EXPANSION = {"basic": 1, "bottleneck": 4}


class ResNetFeatureMap(ResNet):
    """MONAI's 2D ResNet without pooling and classifier, with torchvision's topology and parameter names.

    Example:
        >>> net = ResNetFeatureMap("basic", [1, 1, 1, 1], [4, 8, 16, 32], spatial_dims=2, feed_forward=False)
        >>> net(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 32, 4, 4])
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give the last feature map, shape (B, channels, X / 32, Y / 32) for a stem of stride 2."""
        x = self.act(self.bn1(self.conv1(x)))
        if not self.no_max_pool:
            x = self.maxpool(x)
        features: torch.Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features


@rebuildable
class ImageEncoder(ModalityEncoder):
    """ResNet tokens of a 2D image whose channels are cine frames.

    The defaults are ResNet-50 as published for UK Biobank (METHOD section 2): a 128 x 128 image becomes 16 tokens of
    width 2048, row by row of the last feature map.

    Args:
        in_channels: Number of image channels C.
        image_size: Edge length X = Y in pixels, a multiple of 32.
        block: ``"basic"`` or ``"bottleneck"``.
        layers: Number of blocks in the four stages.
        channels: Width of the four stages before the expansion of the block.

    Shape:
        - ``x``: (B, C, X, Y), any finite range; ``missing``: (B, P); output: (B, P, ``token_dim``)

    Raises:
        ValueError: ``image_size`` is not a multiple of 32 or ``block`` is unknown.

    Example:
        >>> encoder = ImageEncoder(3, 64, block="basic", layers=[1, 1, 1, 1], channels=[4, 8, 16, 32])
        >>> encoder(torch.zeros(2, 3, 64, 64), torch.zeros(2, 4, dtype=torch.bool)).shape
        torch.Size([2, 4, 32])
    """

    def __init__(
        self,
        in_channels: int = 3,
        image_size: int = 128,
        *,
        block: str = "bottleneck",
        layers: Sequence[int] = (3, 4, 6, 3),
        channels: Sequence[int] = (64, 128, 256, 512),
    ) -> None:
        if image_size < 32 or image_size % 32:
            raise ValueError(f"image_size must be a multiple of 32, however: image_size={image_size}")
        if block not in BLOCK_EXPANSION:
            raise ValueError(f"block must be one of {sorted(BLOCK_EXPANSION)}, however: block={block!r}")
        super().__init__(
            input_shape=(in_channels, image_size, image_size),
            n_tokens=(image_size // 32) ** 2,
            token_dim=channels[-1] * BLOCK_EXPANSION[block],
        )
        self.network = ResNetFeatureMap(
            block,
            list(layers),
            list(channels),
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )

    def forward(self, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - an image is whole
        """Encode present images."""
        features: torch.Tensor = self.network(x)
        return features.flatten(2).transpose(1, 2)

    def clean(self, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        """Zero the images that are absent."""
        return torch.where(missing.all(1).reshape(-1, 1, 1, 1), 0.0, x)
