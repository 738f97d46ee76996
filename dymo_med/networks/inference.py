"""Networks made ready for prediction: the same function, cheaper to compute."""

import copy
import itertools
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, TypeVar

import torch
from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dymo_med.networks.blocks import CrossAttentionBlock, TransformerBlock
from dymo_med.networks.nets import MultimodalTransformer
from dymo_med.utils import as_choice

__all__ = ["Precision", "have_same_weights", "heavy_modules", "prepare_for_inference"]

Network = TypeVar("Network", bound=nn.Module)

HEAVY = (ResNet, nn.Sequential, TransformerBlock, CrossAttentionBlock)
"""Modules in which the arithmetic is done."""

CONV_THEN_NORM = (ResNet, ResNetBlock, ResNetBottleneck, nn.Sequential)
"""Modules in which a BatchNorm that is registered after a convolution is computed right after it."""


class Precision(StrEnum):
    """Number format of encoders and recoveries; fusion and selection are always computed in float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def prepare_for_inference(
    network: Network,
    *,
    fold_batch_norm: bool = True,
    channels_last: bool = True,
    dtype: str = "float32",
    compiled: bool = False,
) -> Network:
    """Give a copy of a network that predicts the same and costs less.

    The defaults change results by rounding only. The copy is for prediction: it cannot be trained, and its weights fit
    no other network once a BatchNorm is folded. The network itself stays as it is.

    Args:
        network: Classifier, TIP, or any network of these blocks, with its weights.
        fold_batch_norm: Multiply every BatchNorm of a ResNet into the convolution before it.
        channels_last: Keep images and convolution weights with channels as the fastest axis.
        dtype: ``"float32"``, or ``"bfloat16"`` for encoders and recoveries by autocast; the fusion of a classifier
            stays in float32. Faster only where the processor has instructions for it.
        compiled: Compile the blocks with ``torch.compile``; needs a C++ compiler on a CPU, and minutes once.

    Returns:
        The copy, in evaluation mode, its parameters without gradients.

    Raises:
        ValueError: ``dtype`` is unknown.

    Example:
        >>> from dymo_med.networks.nets import ImageEncoder
        >>> encoder = ImageEncoder(3, 32, block="basic", layers=[1] * 4, channels=[4, 4, 8, 8])
        >>> [type(encoder.network.bn1).__name__, type(prepare_for_inference(encoder).network.bn1).__name__]
        ['BatchNorm2d', 'Identity']
    """
    precision = as_choice("dtype", dtype, Precision)
    network = copy.deepcopy(network).eval().requires_grad_(False)
    if fold_batch_norm:
        _fold_batch_norm(network)
    if channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this form
    if compiled:
        for _, module in heavy_modules(network):
            module.compile(dynamic=True)
    if precision is Precision.BFLOAT16:
        for name, module in list(heavy_modules(_encoders_of(network))):
            _encoders_of(network).set_submodule(name, _InBfloat16(module))
    return network


def have_same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Tell whether two modules are of one type, in one mode, and hold equal parameters and buffers.

    Modules that differ usually do so in their first tensor, so that the answer no comes at once.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> have_same_weights(layer, copy.deepcopy(layer)), have_same_weights(layer, nn.Linear(2, 2))
        (True, False)
    """
    if first is second:
        return True
    if type(first) is not type(second) or first.training != second.training:
        return False
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


class _InBfloat16(nn.Module):
    """Computes a module under autocast and gives its output in the precision of its first input."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run the module in bfloat16 and give its output in the type of ``x``."""
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            output: torch.Tensor = self.module(x, *args, **kwargs)
        return output.to(x.dtype)


def _encoders_of(network: nn.Module) -> nn.Module:
    """Give the part of a network that tolerates low precision: a classifier's encoders, any other network as it is."""
    return network.encoders if isinstance(network, MultimodalTransformer) else network


def heavy_modules(network: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Give the outermost heavy modules with their dotted names."""
    for name, module in network.named_children():
        if isinstance(module, HEAVY):
            yield prefix + name, module
        else:
            yield from heavy_modules(module, f"{prefix}{name}.")


def _fold_batch_norm(network: nn.Module) -> None:
    for module in network.modules():
        if not isinstance(module, CONV_THEN_NORM):
            continue
        for (conv_name, conv), (norm_name, norm) in itertools.pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
