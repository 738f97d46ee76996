"""Encoders of the sizes that the shapes of published parameters tell."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dymo_med.interop.archive import TorchFile
from dymo_med.interop.checkpoint import Checkpoint
from dymo_med.interop.pickles import Inert, TensorRecord
from dymo_med.networks.nets import ConvEncoder, ImageEncoder, TableEncoder

__all__ = ["read_field_lengths", "small_encoder", "square_side", "table_encoder", "whole_image_encoder"]


def read_field_lengths(path: str | Path) -> tuple[int, ...]:
    """Read the number of categories of each column; 1 = a continuous column.

    Args:
        path: ``tabular_lengths_reordered.pt`` as published: a list, categorical columns first.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, is no list of positive integers, or a categorical column comes late.

    Example:
        >>> import tempfile, torch
        >>> path = Path(tempfile.mkdtemp()) / "lengths.pt"
        >>> torch.save([2, 3, 1], path)
        >>> read_field_lengths(path)
        (2, 3, 1)
    """
    file = TorchFile(path)
    content = file.content
    if isinstance(content, TensorRecord):
        content = file.tensor("the list", content).tolist()
    lengths = [_integer(value) for value in content] if isinstance(content, list | tuple) else []
    known = [length for length in lengths if length is not None and length >= 1]
    if not known or len(known) < len(lengths):
        raise ValueError(
            f"{file.name} must be a list of positive integers, however: {type(content).__name__} with "
            f"{len(lengths) - len(known)} other entries of {len(lengths)}: pass tabular_lengths_reordered.pt"
        )
    n_categorical = sum(length > 1 for length in known)
    if any(length == 1 for length in known[:n_categorical]):
        raise ValueError(
            f"{file.name} must list categorical columns first, however: entry {known.index(1)} is continuous and "
            f"one of the {n_categorical} categorical ones comes later: pass the file of the reordered table"
        )
    return tuple(known)


def whole_image_encoder(checkpoint: Checkpoint, prefix: str, image_size: int) -> ImageEncoder:
    """Make the ResNet whose parameters lie below ``prefix``."""
    stages = [f"{prefix}layer{number}." for number in (1, 2, 3, 4)]
    return ImageEncoder(
        checkpoint.shape(f"{prefix}conv1.weight")[1],
        image_size,
        block="bottleneck" if f"{stages[0]}0.conv3.weight" in checkpoint else "basic",
        layers=[checkpoint.count(stage) for stage in stages],
        channels=[checkpoint.shape(f"{stage}0.conv1.weight")[0] for stage in stages],
    )


def table_encoder(
    checkpoint: Checkpoint, prefix: str, field_lengths: Sequence[int] | None, n_heads: int
) -> TableEncoder:
    """Make the tabular Transformer whose parameters lie below ``prefix``.

    Raises:
        ValueError: the field lengths are not given, or do not fit the parameters.
    """
    n_columns = checkpoint.shape(f"{prefix}column_embedding.weight")[0] - 1
    n_categories = checkpoint.shape(f"{prefix}cat_embedding.weight")[0]
    if field_lengths is None:
        raise ValueError(
            f"{checkpoint.name} has a table of {n_columns} columns, however: field_lengths=None: pass the file "
            "tabular_lengths_reordered.pt, the parameters do not tell where the categories of a column begin"
        )
    cardinalities = [length for length in field_lengths if length > 1]
    if len(field_lengths) != n_columns or max(sum(cardinalities), 1) != n_categories:
        raise ValueError(
            f"field lengths must fit {checkpoint.name} with {n_columns} columns and {n_categories} categories in all, "
            f"however: {len(field_lengths)} columns and {sum(cardinalities)}: pass the file of the same table"
        )
    return TableEncoder(
        cardinalities,
        n_columns - len(cardinalities),
        dim=checkpoint.shape(f"{prefix}cls_token")[-1],
        n_blocks=checkpoint.count(f"{prefix}transformer_blocks."),
        n_heads=n_heads,
    )


def small_encoder(checkpoint: Checkpoint, prefix: str, image_size: int) -> ConvEncoder:
    """Make the encoder of few convolutions whose parameters lie below ``prefix``."""
    parts = {name[len(prefix) :].split(".")[1] for name in checkpoint.below(f"{prefix}network.")}
    layers = sorted(int(part) for part in parts if part.isdigit())
    shapes = [checkpoint.shape(f"{prefix}network.{layer}.weight") for layer in layers or (0,)]
    return ConvEncoder(shapes[0][1], image_size, channels=[shape[0] for shape in shapes])


def square_side(n_tokens: int, name: str) -> int:
    """Give the edge length of a square of tokens.

    Raises:
        ValueError: there is no such square.

    Example:
        >>> square_side(16, "a.ckpt")
        4
    """
    side = math.isqrt(max(n_tokens, 0))
    if side == 0 or side * side != n_tokens:
        raise ValueError(
            f"pos_embeddings of {name} must leave a square number of image tokens, however: {n_tokens}: pass the field "
            "lengths of the same table"
        )
    return side


def _integer(value: Any) -> int | None:
    """Read an integer, or the stand-in of a NumPy one."""
    if isinstance(value, Inert) and value.dotted_name.endswith("multiarray.scalar") and len(value.args) == 2:
        kind, content = value.args
        is_known = isinstance(kind, Inert) and kind.args[:1] in (("i8",), ("i4",)) and isinstance(content, Inert)
        text = content.args[0] if is_known and content.args else None
        return int.from_bytes(text.encode("latin1"), "little", signed=True) if isinstance(text, str) else None
    return value if type(value) is int else None
