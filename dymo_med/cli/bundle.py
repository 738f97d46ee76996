"""What every bundle run begins with: errors of one line, and refusal of misspelt overrides."""

import difflib
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.bundle.utils import ID_SEP_KEY

__all__ = ["begin_bundle_run", "check_overrides", "check_settings"]

RUN_OPTIONS = frozenset(
    {
        "args_file",
        "config_file",
        "final_id",
        "init_id",
        "logging_file",
        "meta_file",
        "properties_path",
        "run_id",
        "tracking",
        "workflow_type",
    }
)
"""Options of ``monai.bundle run`` itself."""


DEBUG_VARIABLE = "DYMO_MED_DEBUG"
"""Environment variable that, when set, shows the whole traceback of an error that was explained in one line."""

EXPLAINED = (ValueError, OSError, KeyError, TypeError, RuntimeError)
"""Errors whose text says what is wrong, where, and what to do."""


POSITIVE_INTEGERS = (
    "max_epochs",
    "val_interval",
    "batch_size",
    "accumulation_steps",
    "n_subsets",
    "early_stop_patience",
)
COUNTS = ("seed", "num_workers", "warmup_epochs", "aux_start_epoch")
POSITIVE_NUMBERS = ("learning_rate", "temperature")
NUMBERS_FROM_ZERO = ("weight_decay", "early_stop_min_delta")
FRACTIONS = ("augmentation_prob", "table_corruption_rate")
SWITCHES = ("channels_last", "compiled", "freeze_encoders")


MEMORY_REMEDY = "lower --batch_size and raise --accumulation_steps in proportion, or set --precision bfloat16"
"""What asks for less memory of a GPU."""


def begin_bundle_run() -> None:
    """Prepare the process of a bundle run; configurations call this first in ``initialize``.

    Errors end as one line, the cause that MONAI wraps in "Failed to evaluate" and a long traceback; overrides of ids
    that do not exist are refused.

    Raises:
        ValueError: an override names an id that no configuration file has.
    """
    sys.excepthook = _explain
    check_overrides()


def check_overrides(arguments: Sequence[str] | None = None) -> None:
    """Check that every override on the command line of ``python -m monai.bundle run`` changes an id that exists.

    Runs that are not started by that command have nothing to check.

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


def check_settings(settings: Mapping[str, Any], bundle_root: str | Path) -> None:
    """Check hyper-parameters and the place of outputs; trainings call this before they make anything.

    Args:
        settings: Hyper-parameters by id; ids that are not known here are passed over.
        bundle_root: Folder of outputs; it need not exist, but must be one that can be made.

    Raises:
        ValueError: a number is out of its range, a switch is neither True nor False, or no epoch would be validated.
        OSError: nothing can be written to ``bundle_root``.

    Example:
        >>> check_settings({"batch_size": 0}, ".")
        Traceback (most recent call last):
        ...
        ValueError: batch_size must be an integer of 1 or more, however: batch_size=0; correct --batch_size
    """
    for name in settings.keys() & {*POSITIVE_INTEGERS, *COUNTS}:
        _check_integer(name, settings[name], 1 if name in POSITIVE_INTEGERS else 0)
    for name in settings.keys() & {*POSITIVE_NUMBERS, *NUMBERS_FROM_ZERO, *FRACTIONS}:
        _check_number(name, settings[name])
    for name in settings.keys() & set(SWITCHES):
        if not isinstance(settings[name], bool):
            raise ValueError(f"{name} must be True or False, however: {name}={settings[name]!r}; correct --{name}")
    interval, n_epochs = settings.get("val_interval", 1), settings.get("max_epochs", float("inf"))
    if interval > n_epochs:
        raise ValueError(
            f"val_interval must be at most max_epochs, or no weights are kept, however: val_interval={interval}, "
            f"max_epochs={n_epochs}; correct --val_interval"
        )
    _check_writable(Path(bundle_root))


def _check_integer(name: str, value: Any, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name} must be an integer of {low} or more, however: {name}={value!r}; correct --{name}")


def _check_number(name: str, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in FRACTIONS:
        rule, is_right = "between 0 and 1", is_number and 0 <= value <= 1
    elif name in POSITIVE_NUMBERS:
        rule, is_right = "positive and finite", is_number and 0 < value < float("inf")
    else:
        rule, is_right = "0 or more and finite", is_number and 0 <= value < float("inf")
    if not is_right:
        raise ValueError(f"{name} must be {rule}, however: {name}={value!r}; correct --{name}")


def _check_writable(folder: Path) -> None:
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    try:
        tempfile.TemporaryDirectory(dir=nearest).cleanup()
    except OSError as err:
        raise OSError(
            err.errno,
            f"outputs need a folder to write in, however: {folder} is none ({err.strerror}); "
            "choose another --bundle_root",
        ) from err


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


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    cause = error
    while cause.__cause__ is not None and isinstance(cause, RuntimeError) and str(cause).startswith("Failed to"):
        cause = cause.__cause__
    if os.environ.get(DEBUG_VARIABLE) or not isinstance(cause, EXPLAINED):
        traceback.print_exception(kind, error, trace)
    if isinstance(cause, torch.OutOfMemoryError):
        sys.stderr.write(f"dymo-med: error: {_out_of_memory(cause)}\n")
        return
    text = " ".join(str(cause.args[0] if isinstance(cause, KeyError) and cause.args else cause).split())
    sys.stderr.write(f"dymo-med: error: {text or type(cause).__name__}\n")


def _out_of_memory(error: torch.OutOfMemoryError) -> str:
    """Say how much was asked for and what asks for less; torch's own text is a paragraph on its allocator."""
    asked = re.search(r"[Tt]ried to allocate ([\d.]+ \w+)", str(error))
    amount = f" ({asked[1]} more were asked for)" if asked else ""
    return f"the memory of the GPU is not enough{amount}: {MEMORY_REMEDY}"
