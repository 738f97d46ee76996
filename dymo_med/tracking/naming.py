"""Names and values as MLflow takes them, and as may leave for it."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["check_no_paths", "flattened_params", "metric_name"]

_PATH = re.compile(r"(^|[\s'\"])(~|\.{1,2})?/\w|\\\w|\w/[\w-]+(/|\.\w)")


def flattened_params(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Give nested parameters as texts, names joined with dots.

    Args:
        params: Parameters, nested at will.
        prefix: Precedes every name.

    Example:
        >>> flattened_params({"seed": 7, "sizes": {"dim": 8}})
        {'seed': '7', 'sizes.dim': '8'}
    """
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= flattened_params(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat


def check_no_paths(values: Mapping[str, str]) -> None:
    """Refuse values that look like the path of a file.

    Args:
        values: Parameters or tags.

    Raises:
        ValueError: a value does; the text gives its name and length, not the path.
    """
    for name, value in values.items():
        if _PATH.search(value):
            raise ValueError(
                f"parameters and tags must not hold paths, however: {name} has {len(value)} characters with a "
                "separator of folders: leave it out, it would leave for the tracking server"
            )


def metric_name(text: str) -> str:
    """Give a name of characters that MLflow takes.

    Example:
        >>> metric_name("50 % hidden/auroc")
        '50 _ hidden/auroc'
    """
    return re.sub(r"[^\w\-. :/]", "_", text)
