"""Networks made ready for training: the same function and the same weights, computed otherwise."""

from enum import StrEnum
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import nn

from dymo_med.networks.blocks.batch_norm import SynchronizedBatchNorm2d
from dymo_med.networks.inference import heavy_modules
from dymo_med.utils import as_choice, n_processes

__all__ = ["TrainingPrecision", "mixed_dtype", "prepare_for_training"]

Network = TypeVar("Network", bound=nn.Module)


def prepare_for_training(network: Network, *, channels_last: bool = False, compiled: bool = False) -> Network:
    """Change how a network computes; names and values of its weights stay, and so do its checkpoints.

    In a group of processes every BatchNorm takes its statistics over all of them, so that a step of N processes is the
    step that one would take on the same samples.

    Args:
        network: Network to train, changed in place.
        channels_last: Keep images and convolution weights with channels as the fastest axis.
        compiled: Compile the blocks with ``torch.compile``; needs a C++ compiler on a CPU, and minutes once.

    Returns:
        The same network.

    Example:
        >>> from dymo_med.networks.nets import ImageEncoder
        >>> encoder = ImageEncoder(3, 32, block="basic", layers=[1] * 4, channels=[4, 4, 8, 8])
        >>> import torch
        >>> weight = prepare_for_training(encoder, channels_last=True).network.layer1[0].conv1.weight
        >>> weight.is_contiguous(memory_format=torch.channels_last)
        True
    """
    if n_processes() > 1:
        if dist.get_backend() == dist.Backend.NCCL:
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        else:
            _synchronize_batch_norm(network)
    if channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this form
    if compiled:
        for _, module in heavy_modules(network):
            module.compile(dynamic=True)
    return network


def _synchronize_batch_norm(network: nn.Module) -> None:
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, SynchronizedBatchNorm2d(child))


class TrainingPrecision(StrEnum):
    """Number format of training: float32, or mixed precision on a GPU, with weights in float32 in any case.

    ``FLOAT16`` needs MONAI's gradient scaler, which its trainers use under mixed precision; ``BFLOAT16`` has the range
    of float32.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def mixed_dtype(precision: str, device: torch.device | str) -> torch.dtype:
    """Give the number format for the ``amp_kwargs`` of MONAI's trainers.

    Args:
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        device: Device of the training.

    Raises:
        ValueError: the precision is unknown, or mixed on a device for which MONAI's trainers have no mixed precision.

    Example:
        >>> mixed_dtype("float32", "cpu"), mixed_dtype("bfloat16", "cuda:0")
        (torch.float32, torch.bfloat16)
    """
    chosen, kind = as_choice("precision", precision, TrainingPrecision), torch.device(device).type
    if chosen is not TrainingPrecision.FLOAT32 and kind != "cuda":
        raise ValueError(
            f"mixed precision needs a GPU, however: precision={precision!r} on device {kind!r}; use float32"
        )
    return cast(torch.dtype, getattr(torch, chosen))
