"""Argument checks with one wording: *rule, however: name=value*."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TypeVar

import torch

__all__ = ["as_choice", "check_bool_mask", "check_fraction", "check_positive", "check_positive_int", "check_shape"]

Choice = TypeVar("Choice", bound=StrEnum)


def check_positive_int(name: str, value: int) -> None:
    """Refuse anything but an integer of at least one.

    Raises:
        ValueError: ``value`` is not a positive integer.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer, however: {name}={value!r}")


def check_positive(name: str, value: float) -> None:
    """Refuse numbers that are not finite and above zero.

    Raises:
        ValueError: ``value`` is zero, negative, infinite or nan.
    """
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite, however: {name}={value!r}")


def check_fraction(name: str, value: float) -> None:
    """Refuse numbers outside the closed range from 0 to 1.

    Raises:
        ValueError: ``value`` is outside [0, 1] or nan.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1, however: {name}={value!r}")


def as_choice(name: str, value: str, choices: type[Choice]) -> Choice:
    """Turn a configuration string into a member of an enumeration.

    Raises:
        ValueError: ``value`` names no member; the text lists those that exist.

    Example:
        >>> from dymo_med.utils.enums import Metric
        >>> as_choice("metric", "cosine", Metric).name
        'COSINE'
    """
    try:
        return choices(value)
    except ValueError as err:
        raise ValueError(f"{name} must be one of {_listed(choices)}, however: {name}={value!r}") from err


def check_bool_mask(name: str, mask: torch.Tensor) -> None:
    """Refuse masks that are not boolean.

    Raises:
        TypeError: the dtype is not ``torch.bool``.
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"{name} must be boolean with True = absent, however: {name}.dtype={mask.dtype}")


def check_shape(name: str, tensor: torch.Tensor, expected: Sequence[int | str]) -> None:
    """Refuse tensors of another shape; strings in ``expected`` stand for any size.

    Raises:
        ValueError: rank or a fixed size differs.
    """
    shape = tuple(tensor.shape)
    fits = len(shape) == len(expected) and all(
        isinstance(want, str) or want == have for want, have in zip(expected, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have shape ({', '.join(map(str, expected))}), however: {name}.shape={shape}")


def _listed(choices: Iterable[StrEnum]) -> str:
    return ", ".join(repr(choice.value) for choice in choices)
