"""Weights into networks: all of them, or a clear refusal."""

from pathlib import Path
from typing import TypeVar

from torch import nn

from dymo_med.utils import load_weights

__all__ = ["with_weights"]

Network = TypeVar("Network", bound=nn.Module)


def with_weights(network: Network, path: str | Path) -> Network:
    """Load a whole state dictionary into a network.

    Args:
        network: Network of the sizes that the weights were trained with.
        path: File that :func:`~dymo_med.utils.save_weights` wrote.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or its names or shapes are not those of the network; the text names the first.
    """
    path = Path(path)
    state, own = load_weights(path), network.state_dict()
    for problem, names in (("lacks", own.keys() - state.keys()), ("has in excess", state.keys() - own.keys())):
        if names:
            raise ValueError(
                f"weights must fit {type(network).__name__}, however: {path.name} {problem} {len(names)} entries, "
                f"first {min(names)!r}; use the configuration (metric, sizes, schema) that it was trained with"
            )
    for name, value in own.items():
        if state[name].shape != value.shape:
            raise ValueError(
                f"weights must fit {type(network).__name__}, however: {name!r} has shape {tuple(state[name].shape)} in "
                f"{path.name} and {tuple(value.shape)} in the network; use the sizes and the schema of its training"
            )
    network.load_state_dict(state)
    return network
