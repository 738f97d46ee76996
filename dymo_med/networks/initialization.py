"""What encoders start from: nothing, TIP's pre-training, or ImageNet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import nn

from dymo_med.networks.nets import ImageEncoder, TableEncoder
from dymo_med.networks.weights import check_fit
from dymo_med.utils import load_weights

__all__ = ["initialize_encoders"]

Network = TypeVar("Network", bound=nn.Module)

SCRATCH, TIP = "scratch", "tip"
CLASSIFIER = "fc."
"""Beginning of the entries of an ImageNet file that a feature map does not need."""
COUNTER = ".num_batches_tracked"
"""Ending of BatchNorm's counters, which files of before 2018 lack; nothing that is computed here depends on them."""


def initialize_encoders(
    network: Network,
    image_encoder: ImageEncoder,
    table_encoder: TableEncoder,
    *,
    initialization: str = SCRATCH,
    files: Mapping[str, str | Path] | None = None,
    freeze: bool = False,
) -> Network:
    """Give the encoders of a network the weights that training starts from.

    ``"scratch"`` leaves them at random. ``"tip"`` takes both encoders of a pre-trained TIP. Any other takes the image
    encoder from an ImageNet classifier with torchvision's names (``conv1.weight``, ``layer1.0.conv1.weight``, ...; its
    ``fc`` is not needed) and leaves the table encoder at random, as the authors did.

    Args:
        network: Network that holds the encoders.
        image_encoder: Its image encoder.
        table_encoder: Its table encoder.
        initialization: ``"scratch"`` or a key of ``files``.
        files: By initialization the weights that the user holds: ``state_dict`` files of torch, or ``.safetensors``.
        freeze: Keep both encoders as they start; only after ``"tip"``, as others leave random weights.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: ``freeze`` is not boolean, such as the text "false" of a command line.
        ValueError: the initialization is unknown or cannot be frozen, or the file does not fit the encoders.

    Example:
        >>> image = ImageEncoder(3, 32, block="basic", layers=[1] * 4, channels=[4, 4, 8, 8])
        >>> table = TableEncoder([2], 1, dim=8, n_blocks=1, n_heads=2)
        >>> initialize_encoders(nn.ModuleList([image, table]), image, table, freeze=True)
        Traceback (most recent call last):
        ...
        ValueError: encoders can be frozen after initialization 'tip' only, however: initialization='scratch' leaves \
random weights; set freeze_encoders to false
    """
    if not isinstance(freeze, bool):
        raise TypeError(f"freeze_encoders must be True or False, however: {freeze!r}; on a command line write it so")
    files = files or {}
    if initialization not in (SCRATCH, *files):
        raise ValueError(
            f"initialization must be one of {[SCRATCH, *files]}, however: {initialization=}; choose one of them"
        )
    if freeze and initialization != TIP:
        raise ValueError(
            f"encoders can be frozen after initialization {TIP!r} only, however: {initialization=} leaves random "
            "weights; set freeze_encoders to false"
        )
    if initialization != SCRATCH:
        path = Path(files[initialization])
        state = _read(path, initialization, files)
        if initialization == TIP:
            _fill(image_encoder, _below("encoder_imaging.", state), path.name)
            _fill(table_encoder, _below("encoder_tabular.", state), path.name)
        else:
            without_head = {name: value for name, value in state.items() if not name.startswith(CLASSIFIER)}
            _fill(image_encoder.network, without_head, path.name)
    if freeze:
        image_encoder.freeze()
        table_encoder.freeze()
    return network


def _read(path: Path, initialization: str, files: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    if not path.is_file():
        others = [SCRATCH, *(name for name in files if name != initialization)]
        raise FileNotFoundError(
            f"no weights at {path} for initialization {initialization!r}: pass --{initialization}_file, or choose "
            f"--initialization {' or '.join(others)}"
        )
    if path.suffix != ".safetensors":
        return load_weights(path)
    try:
        return load_file(path)
    except Exception as err:  # the reader raises an error of its own, and others for damaged headers
        raise ValueError(f"{path.name} is not a safetensors file ({err}): it is damaged; get it again") from err


def _below(prefix: str, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _fill(encoder: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Load a whole encoder; counters may be absent."""
    counters = {name: value for name, value in encoder.state_dict().items() if name.endswith(COUNTER)}
    complete = counters | dict(state)
    check_fit(encoder, complete, source)
    encoder.load_state_dict(complete)
