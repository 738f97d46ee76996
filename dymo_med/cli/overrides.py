"""Refusal of misspelt overrides, which ``monai.bundle run`` accepts in silence."""

import difflib
import sys
from collections.abc import Sequence

from monai.bundle import ConfigParser
from monai.bundle.utils import ID_SEP_KEY

__all__ = ["check_overrides"]

RUN_OPTIONS = frozenset(
    "args_file config_file final_id init_id logging_file meta_file run_id tracking properties_path workflow_type".split()
)
"""Options of ``monai.bundle run`` itself."""


def check_overrides(arguments: Sequence[str] | None = None) -> None:
    """Check that every override on the command line of ``python -m monai.bundle run`` changes an id that exists.

    Configurations call this in ``initialize``. Runs that are not started by that command have nothing to check.

    Args:
        arguments: Words of the command line; None uses those of this process.

    Raises:
        ValueError: an override names an id that no configuration file has; the text proposes the nearest.
    """
    words = list(sys.argv if arguments is None else arguments)
    options = _options(words)
    if "config_file" not in options:
        return
    config = ConfigParser()
    config.read_config(_as_list(options["config_file"]))
    for name in options:
        if name in RUN_OPTIONS or name.replace("#", ID_SEP_KEY) in config:
            continue
        near = difflib.get_close_matches(name, _ids(config.get()), n=1)
        hint = f"did you mean --{near[0]}?" if near else "see the configuration files for the ids that exist"
        raise ValueError(f"an override must change an id of the configuration, however: --{name}; {hint}")


def _options(words: Sequence[str]) -> dict[str, str]:
    """Read ``--name value`` and ``--name=value``."""
    options = {}
    for index, word in enumerate(words):
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            following = words[index + 1] if index + 1 < len(words) else ""
            options[name] = value if "=" in word else following
    return options


def _as_list(value: str) -> list[str]:
    return [part.strip(" '\"") for part in value.strip("[]()").split(",") if part.strip(" '\"")]


def _ids(config: object, prefix: str = "") -> list[str]:
    if not isinstance(config, dict):
        return []
    ids = []
    for key, value in config.items():
        ids += [prefix + str(key), *_ids(value, f"{prefix}{key}{ID_SEP_KEY}")]
    return ids
