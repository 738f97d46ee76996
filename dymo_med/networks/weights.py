"""Weights into networks: all of them, or a clear refusal."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from dymo_med.utils import load_weights

__all__ = ["check_fit", "with_weights"]

Network = TypeVar("Network", bound=nn.Module)

DIGEST = "schema_digest"
"""Last part of the name of a buffer that holds the digest of a table's schema; zeros = unknown."""


def with_weights(network: Network, path: str | Path) -> Network:
    """Load a whole state dictionary into a network.

    Args:
        network: Network of the sizes and of the schema that the weights were trained with.
        path: File that :func:`~dymo_med.utils.save_weights` wrote.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, it belongs to another schema of the table, or its names or shapes are not those
            of the network; the text names the first.
    """
    path = Path(path)
    state = load_weights(path)
    check_fit(network, state, path.name)
    network.load_state_dict(state)
    return network


def check_fit(network: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Refuse a state dictionary that is not one of this network.

    Args:
        network: Network to load into.
        state: Its would-be content by name.
        source: What holds it, for the text.

    Raises:
        ValueError: another schema, other names or other shapes.

    Example:
        >>> check_fit(nn.Linear(2, 1), nn.Linear(2, 1).state_dict(), "model.pt")
        >>> check_fit(nn.Linear(2, 1), nn.Linear(2, 1, bias=False).state_dict(), "model.pt")
        Traceback (most recent call last):
        ...
        ValueError: weights must fit Linear, however: model.pt lacks 1 entries, first 'bias'; use the configuration \
(metric, sizes, schema) that it was trained with
    """
    own = network.state_dict()
    for name in own.keys() & state.keys():
        if name.split(".")[-1] == DIGEST:
            _check_schema(own[name], state[name], source)
    for problem, names in (("lacks", own.keys() - state.keys()), ("has in excess", state.keys() - own.keys())):
        if names:
            raise ValueError(
                f"weights must fit {type(network).__name__}, however: {source} {problem} {len(names)} entries, "
                f"first {min(names)!r}; use the configuration (metric, sizes, schema) that it was trained with"
            )
    for name, value in own.items():
        if state[name].shape != value.shape:
            raise ValueError(
                f"weights must fit {type(network).__name__}, however: {name!r} has shape {tuple(state[name].shape)} in "
                f"{source} and {tuple(value.shape)} in the network; use the sizes and the schema of its training"
            )


def _check_schema(wanted: torch.Tensor, found: torch.Tensor, source: str) -> None:
    if wanted.any() and found.any() and not torch.equal(wanted.cpu(), found.cpu()):
        raise ValueError(
            f"weights must be of the schema of the cohort, however: {source} was trained with schema {_short(found)} "
            f"and the cohort has {_short(wanted)}; prepare the cohort with --schema and the cohort of that training, "
            "or pass weights of this schema"
        )


def _short(digest: torch.Tensor) -> str:
    """Give the first 12 hexadecimal digits."""
    return bytes(digest.tolist()).hex()[:12]
