"""Short sequences: tokens that nobody attends to are left out before they cost anything.

A token carries its own position, so the order of a sequence means nothing to the fusion: the visible tokens of a row
can stand side by side, and rows of about equal length can be computed together.
"""

import torch

__all__ = ["pack_rows"]

N_LENGTHS = 8
"""Steps into which lengths are divided: at most this many groups, and at most 1/8 of the full length is padding."""


def pack_rows(visible: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Group rows by their number of visible tokens and tell which tokens each group needs.

    Reading lengths costs a synchronization where tensors live on another device.

    Args:
        visible: Boolean, shape (B, P); True = the token takes part.

    Returns:
        Per group its rows, int64 (G,), and the places of their tokens, int64 (G, L): visible ones first, in order; L is
        the largest number of visible tokens in the group. Every row is in one group.

    Example:
        >>> visible = torch.tensor([[True, False, True], [True, True, True], [False, False, True]])
        >>> [(rows.tolist(), places.tolist()) for rows, places in pack_rows(visible)]
        [([2], [[2]]), ([0], [[0, 2]]), ([1], [[0, 1, 2]])]
    """
    lengths = visible.sum(1)
    step = -(-visible.shape[1] // N_LENGTHS)
    size = -(-lengths // step)
    groups = []
    for value in sorted(set(size.tolist())):
        rows = (size == value).nonzero().flatten()
        places = visible[rows].argsort(dim=1, descending=True, stable=True)
        groups.append((rows, places[:, : int(lengths[rows].max())]))
    return groups
