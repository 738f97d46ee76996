"""Non-empty subsets of modalities: their order, their codes, random draws of them."""

from functools import lru_cache
from itertools import combinations

import torch

from dymo_med.utils import check_positive_int

__all__ = ["enumerate_subsets", "sample_subsets", "subset_codes", "subset_names"]

MAX_MODALITIES = 16
"""Bound on M: tables over subsets hold 2^M - 1 rows."""


def enumerate_subsets(n_modalities: int) -> torch.Tensor:
    """List all non-empty subsets by size, then lexicographically by modality index (METHOD section 7).

    Args:
        n_modalities: Number of modalities M, 1 to 16.

    Returns:
        Boolean membership of shape (S, M) with S = 2^M - 1; True = the modality is in the subset.

    Raises:
        ValueError: M is outside its range.

    Example:
        >>> enumerate_subsets(2).tolist()
        [[True, False], [False, True], [True, True]]
    """
    check_positive_int("n_modalities", n_modalities)
    if n_modalities > MAX_MODALITIES:
        raise ValueError(f"n_modalities must be at most {MAX_MODALITIES}, however: n_modalities={n_modalities}")
    members = torch.zeros(2**n_modalities - 1, n_modalities, dtype=torch.bool)
    chosen = (c for size in range(1, n_modalities + 1) for c in combinations(range(n_modalities), size))
    for row, subset in enumerate(chosen):
        members[row, list(subset)] = True
    return members


def subset_codes(members: torch.Tensor) -> torch.Tensor:
    """Give the row of :func:`enumerate_subsets` that each membership row equals.

    Args:
        members: Boolean, shape (..., M); True = the modality is in the subset.

    Returns:
        int64 codes of shape (...); -1 for the empty subset.

    Example:
        >>> subset_codes(torch.tensor([[True, True], [False, False]])).tolist()
        [2, -1]
    """
    n_modalities = members.shape[-1]
    weights = 2 ** torch.arange(n_modalities, device=members.device)
    bits = (members * weights).sum(-1)
    table: torch.Tensor = _code_table(n_modalities, members.device)[bits]
    return table


def sample_subsets(n_modalities: int, n_subsets: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """Draw different non-empty subsets, each with the same chance.

    Args:
        n_modalities: Number of modalities M.
        n_subsets: Number of subsets to draw, A.
        generator: Source of randomness; None uses torch's global one.

    Returns:
        Boolean membership of shape (A, M).

    Raises:
        ValueError: more subsets are asked for than exist.
    """
    members = enumerate_subsets(n_modalities)
    check_positive_int("n_subsets", n_subsets)
    if n_subsets > len(members):
        raise ValueError(
            f"n_subsets must be at most {len(members)}, the number of non-empty subsets of {n_modalities} modalities, "
            f"however: n_subsets={n_subsets}"
        )
    return members[torch.randperm(len(members), generator=generator)[:n_subsets]]


def subset_names(modalities: list[str] | tuple[str, ...]) -> list[str]:
    """Name every subset in the order of :func:`enumerate_subsets`.

    Example:
        >>> subset_names(["image", "table"])
        ['image', 'table', 'image+table']
    """
    members = enumerate_subsets(len(modalities)).tolist()
    return ["+".join(name for name, inside in zip(modalities, row, strict=True) if inside) for row in members]


@lru_cache(maxsize=64)
def _code_table(n_modalities: int, device: torch.device) -> torch.Tensor:
    members = enumerate_subsets(n_modalities)
    table = torch.full((2**n_modalities,), -1, dtype=torch.int64)
    table[(members * 2 ** torch.arange(n_modalities)).sum(-1)] = torch.arange(len(members))
    return table.to(device)
