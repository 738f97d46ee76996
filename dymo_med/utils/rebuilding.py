"""Objects that know how they were built, so that they can be built again elsewhere."""

import functools
import importlib
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

__all__ = ["build_from", "rebuildable", "settings_of"]

Built = TypeVar("Built")

_ATTRIBUTE = "build_settings"
_TARGET = "_target_"
_ROOT = "dymo_med."


def rebuildable(kind: type[Built]) -> type[Built]:
    """Make a class keep the arguments of its construction as plain values.

    Arguments that are rebuildable objects themselves are kept as their own settings. What cannot be told in plain
    values is kept as the name of its type, and :func:`settings_of` refuses it.

    Args:
        kind: Class to decorate.

    Example:
        >>> from dymo_med.networks.nets import ImageEncoder
        >>> encoder = ImageEncoder(3, 32, block="basic", layers=[1] * 4, channels=[4, 4, 8, 8])
        >>> settings_of(encoder)["channels"]
        [4, 4, 8, 8]
    """
    build = kind.__init__
    signature = inspect.signature(build)

    @functools.wraps(build)
    def build_and_remember(self: Any, *args: Any, **kwargs: Any) -> None:
        """Build as before, and keep the arguments of the outermost class."""
        if type(self) is kind:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            given = {name: _plain(value) for name, value in list(bound.arguments.items())[1:]}
            build(self, *args, **kwargs)
            setattr(self, _ATTRIBUTE, {_TARGET: f"{kind.__module__}.{kind.__qualname__}", **given})
        else:
            build(self, *args, **kwargs)

    kind.__init__ = build_and_remember  # type: ignore[method-assign]
    return kind


def settings_of(built: object) -> dict[str, Any]:
    """Give the settings with which :func:`build_from` builds an object of the same kind and size.

    Args:
        built: Object of a class that is :func:`rebuildable`.

    Returns:
        The class under ``_target_`` and the arguments, as JSON can hold them.

    Raises:
        TypeError: the class is not rebuildable, or an argument was no plain value.
    """
    settings: dict[str, Any] | None = getattr(built, _ATTRIBUTE, None)
    if settings is None:
        raise TypeError(
            f"an object must be of a class that keeps its settings, however: {type(built).__name__}: decorate the "
            "class with dymo_med.utils.rebuildable"
        )
    _check_plain(settings, type(built).__name__)
    return settings


def build_from(settings: Mapping[str, Any]) -> Any:
    """Build an object from its settings; only classes of this library are built, and no expression is evaluated.

    Args:
        settings: What :func:`settings_of` gave.

    Raises:
        ValueError: a class is none of this library's.

    Example:
        >>> encoder = {"_target_": "dymo_med.networks.nets.table_encoder.TableEncoder", "cat_cardinalities": [2]}
        >>> build_from({**encoder, "n_num_features": 1, "dim": 8, "n_heads": 2}).n_tokens
        2
    """
    arguments = {name: _built(value) for name, value in settings.items() if name != _TARGET}
    target = str(settings[_TARGET])
    module, _, name = target.rpartition(".")
    kind = getattr(importlib.import_module(module), name, None) if target.startswith(_ROOT) else None
    if not isinstance(kind, type):
        raise ValueError(f"a model must be built of classes of dymo_med, however: {target!r}: package it again")
    return kind(**arguments)


def _built(value: Any) -> Any:
    if isinstance(value, Mapping):
        return build_from(value) if _TARGET in value else {name: _built(item) for name, item in value.items()}
    return [_built(item) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if hasattr(value, _ATTRIBUTE):
        return getattr(value, _ATTRIBUTE)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else type(value)


def _check_plain(value: Any, name: str) -> None:
    if isinstance(value, type):
        raise TypeError(
            f"the arguments of a {name} must be plain values or rebuildable, however: one is a {value.__name__}: "
            "decorate that class with dymo_med.utils.rebuildable"
        )
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_plain(item, name)
