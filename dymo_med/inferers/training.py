"""Inferers of training: what an engine's network computes in a step, for the loss to compare."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer

from dymo_med.missingness.subsets import enumerate_subsets, sample_subsets
from dymo_med.selection import Fused
from dymo_med.utils import check_fraction, derived_seed, n_processes, process_rank

__all__ = ["SubsetInferer", "TIPPretrainingInferer"]


class SubsetInferer(Inferer):
    """Classifies a batch with several subsets of its modalities on tokens that are encoded once (METHOD section 3).

    Args:
        n_modalities: Number of modalities M of the network.
        n_subsets: Different subsets drawn for each call, A; None = all of them, for validation.
        seed: Seed of the draws.

    Raises:
        ValueError: more subsets are asked for than exist.

    Example:
        >>> SubsetInferer(2, n_subsets=4)
        Traceback (most recent call last):
        ...
        ValueError: n_subsets must be at most 3, the number of non-empty subsets of 2 modalities, however: n_subsets=4
    """

    def __init__(self, n_modalities: int, n_subsets: int | None = None, seed: int = 0) -> None:
        super().__init__()
        self.n_modalities = n_modalities
        self.n_subsets = n_subsets
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)
        if n_subsets is not None:
            sample_subsets(n_modalities, n_subsets, torch.Generator())  # only to check; torch's global state stays

    def set_epoch(self, epoch: int) -> None:
        """Let the draws that follow depend on seed and epoch alone."""
        self.generator.manual_seed(derived_seed(self.seed, epoch))

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Fused:
        """Run the network.

        Args:
            inputs: First modality, shape (B, ...).
            network: A :class:`~dymo_med.networks.nets.MultimodalTransformer`, bare or wrapped for parallel training.
            args: Further inputs of the network.
            kwargs: Further inputs of the network by name.

        Returns:
            Logits (A, B, K) and embedding (A, B, D); nan where nothing of the subset was observed for the sample.
        """
        if self.n_subsets is None:
            subsets = enumerate_subsets(self.n_modalities)
        else:
            subsets = sample_subsets(self.n_modalities, self.n_subsets, self.generator)
        fused: Fused = network(inputs, *args, subsets=subsets, **kwargs)
        return fused


class TIPPretrainingInferer(Inferer):
    """Hides cells of a table and runs TIP for its three pre-training losses (METHOD section 6).

    Args:
        hidden_rate: Share of the columns that is hidden in each row and to be predicted; 0.5 as published, rounded. A
            pair (low, high) draws the share anew for every row, so that nearly empty tables are learned too.
        seed: Seed of the draws.

    Raises:
        ValueError: ``hidden_rate`` is no fraction, or the pair is not in order.

    Example:
        >>> TIPPretrainingInferer(hidden_rate=1.5)
        Traceback (most recent call last):
        ...
        ValueError: hidden_rate must be between 0 and 1, however: hidden_rate=1.5
    """

    def __init__(self, hidden_rate: float | Sequence[float] = 0.5, seed: int = 0) -> None:
        super().__init__()
        low, high = hidden_rate if isinstance(hidden_rate, Sequence) else (hidden_rate, hidden_rate)
        check_fraction("hidden_rate", low)
        check_fraction("hidden_rate", high)
        if low > high:
            raise ValueError(f"hidden_rate must be a pair (low, high) in order, however: hidden_rate={hidden_rate}")
        self.hidden_rate = (low, high)
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)

    def set_epoch(self, epoch: int) -> None:
        """Let the draws that follow depend on seed and epoch alone."""
        self.generator.manual_seed(derived_seed(self.seed, epoch))

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Run the network.

        Args:
            inputs: Images, (B, C, X, Y).
            network: A :class:`~dymo_med.networks.nets.TIP`, bare or wrapped for parallel training.
            args: None expected.
            kwargs: ``table`` (B, F), ``table_missing`` (B, F) and ``table_corrupted`` (B, F).

        Returns:
            What the network compares, with the true ``table`` and ``scored`` (B, F): True = observed and hidden.
        """
        table, missing = kwargs["table"], kwargs["table_missing"]
        low, high = self.hidden_rate
        n_rows, n_columns = table.shape
        draws = torch.rand(n_rows * n_processes(), 1 + n_columns, generator=self.generator)[
            process_rank() :: n_processes()
        ]
        rate = low + (high - low) * draws[:, :1]
        rank = draws[:, 1:].argsort(1).argsort(1)
        hidden = (rank < (rate * n_columns).round()).to(table.device)
        output = network(inputs, *args, table, missing, corrupted=kwargs["table_corrupted"], hidden=hidden)
        return {**output, "table": table, "scored": hidden & ~missing}
