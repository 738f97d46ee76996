"""Image decoder of few transposed convolutions, the mirror of :class:`ConvEncoder`."""

from collections.abc import Sequence

import torch
from torch import nn

from dymo_med.utils import check_positive_int

__all__ = ["ConvDecoder", "initialize_glorot"]


def initialize_glorot(module: nn.Module) -> None:
    """Draw the weights of a layer by Glorot's rule; modules of other kinds stay as they are.

    Under torch's default rule signals fade from layer to layer, and a short training under the Laplace likelihood ends
    with posteriors that are the prior.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> initialize_glorot(layer)
        >>> layer.bias.tolist()
        [0.0, 0.0]
    """
    if isinstance(module, (nn.Linear, nn.ConvTranspose2d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class ConvDecoder(nn.Module):
    """Picture from a latent vector: a linear layer, then transposed convolutions of stride 2 with ReLU between them.

    The defaults are those published for PolyMNIST (BASELINES section 4.2): 512 numbers become 3 x 28 x 28 by way of
    128 x 4 x 4. Nothing bounds the output.

    Args:
        latent_dim: Size L of the latent vector.
        out_channels: Number of image channels C.
        image_size: Edge length X = Y in pixels.
        channels: Widths of the encoder that this mirrors; the last is the first here.

    Shape:
        - ``z``: (..., L); output: (..., C, X, Y)

    Raises:
        ValueError: a size is not positive or the image is too small for the convolutions.

    Example:
        >>> ConvDecoder()(torch.zeros(2, 512)).shape
        torch.Size([2, 3, 28, 28])
    """

    def __init__(
        self,
        latent_dim: int = 512,
        out_channels: int = 3,
        image_size: int = 28,
        *,
        channels: Sequence[int] = (32, 64, 128),
    ) -> None:
        sizes = {"latent_dim": latent_dim, "out_channels": out_channels, "image_size": image_size}
        sizes |= {f"channels[{index}]": width for index, width in enumerate(channels)}
        for name, value in sizes.items():
            check_positive_int(name, value)
        edges = [image_size]
        for _ in channels:
            edges.append((edges[-1] - 1) // 2 + 1)
        if not channels or edges[-1] < 2:
            raise ValueError(
                f"image_size must leave 2 pixels or more after {len(channels)} halvings (one or more), however: "
                f"image_size={image_size} leaves {edges[-1]}; use a larger image or fewer convolutions"
            )
        super().__init__()
        widths, edges = [out_channels, *channels][::-1], edges[::-1]
        self.first_shape = (widths[0], edges[0], edges[0])
        self.linear = nn.Linear(latent_dim, widths[0] * edges[0] ** 2)
        layers: list[nn.Module] = []
        for index in range(len(channels)):
            extra = edges[index + 1] - (2 * edges[index] - 1)  # rows that a halving of an even edge had dropped
            layers += [
                nn.ReLU(),
                nn.ConvTranspose2d(widths[index], widths[index + 1], 3, stride=2, padding=1, output_padding=extra),
            ]
        self.network = nn.Sequential(*layers)
        self.apply(initialize_glorot)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Decode latent vectors."""
        first = self.linear(z).reshape(-1, *self.first_shape)
        image: torch.Tensor = self.network(first)
        return image.reshape(*z.shape[:-1], *image.shape[1:])
