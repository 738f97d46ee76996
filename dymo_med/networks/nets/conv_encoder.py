"""Image encoder of few convolutions, for small pictures."""

from collections.abc import Sequence

import torch
from torch import nn

from dymo_med.networks.nets.encoder import ModalityEncoder
from dymo_med.utils import check_positive_int, rebuildable

__all__ = ["ConvEncoder"]


@rebuildable
class ConvEncoder(ModalityEncoder):
    """Tokens of a small 2D image: stride-2 convolutions with ReLU, a 1x1 convolution, 2x2 max-pooling.

    The defaults are those published for PolyMNIST (METHOD section 2): 28 x 28 pixels become 4 tokens of width 128, row
    by row. Parameter names are the published ones.

    Args:
        in_channels: Number of image channels C.
        image_size: Edge length X = Y in pixels.
        channels: Width after each convolution; the last is the width of the tokens.
        pooled: False = leave out the 1x1 convolution and the pooling: a token for every place of the last feature map,
            16 by default, as encoders of a multimodal VAE are published (BASELINES section 4.2).

    Shape:
        - ``x``: (B, C, X, Y), any finite range; ``missing``: (B, P); output: (B, P, ``token_dim``)

    Raises:
        ValueError: a size is not positive or the image is too small for the convolutions.

    Example:
        >>> encoder = ConvEncoder()
        >>> encoder(torch.zeros(2, 3, 28, 28), torch.zeros(2, 4, dtype=torch.bool)).shape
        torch.Size([2, 4, 128])
    """

    def __init__(
        self,
        in_channels: int = 3,
        image_size: int = 28,
        *,
        channels: Sequence[int] = (32, 64, 128),
        pooled: bool = True,
    ) -> None:
        for index, width in enumerate(channels):
            check_positive_int(f"channels[{index}]", width)
        check_positive_int("in_channels", in_channels)
        check_positive_int("image_size", image_size)
        edge = image_size
        for _ in channels:
            edge = (edge - 1) // 2 + 1
        if not channels or edge < 2:
            raise ValueError(
                f"image_size must leave 2 pixels or more after {len(channels)} convolutions of stride 2 (one or more), "
                f"however: image_size={image_size} leaves {edge}; use a larger image or fewer convolutions"
            )
        edge = edge // 2 if pooled else edge
        super().__init__((in_channels, image_size, image_size), n_tokens=edge**2, token_dim=channels[-1])
        layers: list[nn.Module] = []
        for n_in, n_out in zip((in_channels, *channels), channels, strict=False):
            layers += [nn.Conv2d(n_in, n_out, kernel_size=3, stride=2, padding=1), nn.ReLU()]
        self.network = nn.Sequential(*layers)
        self.proj_conv = nn.Sequential()
        if pooled:
            self.proj_conv = nn.Sequential(nn.Conv2d(channels[-1], channels[-1], kernel_size=1), nn.MaxPool2d(2))

    def forward(self, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - an image is whole
        """Encode present images."""
        features: torch.Tensor = self.proj_conv(self.network(x))
        return features.flatten(2).transpose(1, 2)

    def clean(self, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        """Zero the images that are absent."""
        return torch.where(missing.all(1).reshape(-1, 1, 1, 1), 0.0, x)
