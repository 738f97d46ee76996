"""The plainest recovery of a table: training mean and training mode."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch

from dymo_med.recovery.base import Proposal, TableRecovery
from dymo_med.utils import rebuildable

__all__ = ["MeanModeRecovery"]


@rebuildable
class MeanModeRecovery(TableRecovery):
    """Fills a number with its training mean and a category with the most frequent one (the lowest of equals).

    It needs nothing of the subject, so that every proposal is available, for a table that is wholly absent too: the
    baseline that a recovery must beat.

    Args:
        target: Name of the table.
        cat_cardinalities: Number of categories of each categorical column; those come first, as indices from 0.
        n_num_features: Number of continuous columns, after the categorical ones.
        schema_digest: SHA-256 of the schema of the table, kept with the weights; None = unknown.

    Raises:
        ValueError: the layout has no column or a cardinality below 1.

    Example:
        >>> import torch
        >>> recovery = MeanModeRecovery("table", cat_cardinalities=[3], n_num_features=1)
        >>> recovery.fit(torch.tensor([[2.0, 1.0], [2.0, 4.0], [0.0, 1.0]]), torch.zeros(3, 2, dtype=torch.bool))
        >>> recovery({"table": torch.zeros(1, 2)}, {"table": torch.tensor([True])}).values.tolist()
        [[2.0, 2.0]]
    """

    name: ClassVar[str] = "mean_mode"
    fill: torch.Tensor

    def __init__(
        self, target: str, cat_cardinalities: Sequence[int], n_num_features: int, schema_digest: str | None = None
    ) -> None:
        super().__init__(target, cat_cardinalities, n_num_features, schema_digest)
        self.register_buffer("fill", torch.full((self.n_features,), torch.nan))  # nan until fitted

    def fit(self, values: torch.Tensor, missing: torch.Tensor) -> None:
        """Learn means and modes from training rows.

        Args:
            values: (N, F) float; absent cells are not read.
            missing: (N, F) bool, True = absent.

        Raises:
            TypeError: the mask is not boolean.
            ValueError: a shape differs, an observed cell is invalid, or a column has no observed cell.
        """
        known, mask = self.training_cells(values, missing)
        fill = known.sum(dim=0) / (~mask).sum(dim=0)
        for column, cardinality in enumerate(self.cat_cardinalities):
            codes = known[~mask[:, column], column].long()
            fill[column] = codes.bincount(minlength=cardinality).argmax()
        self.fill.copy_(fill)

    def forward(self, inputs: Mapping[str, torch.Tensor], missing: Mapping[str, torch.Tensor]) -> Proposal:
        """Propose the table.

        Args:
            inputs: Holds the table (B, F).
            missing: Holds its mask, (B,) or (B, F) bool, True = absent.

        Returns:
            The filled table, available for every subject.

        Raises:
            KeyError: the batch lacks the table or its mask.
            RuntimeError: the recovery is not fitted.
            TypeError: the mask is not boolean.
            ValueError: a shape differs or an observed cell is invalid.
        """
        known, mask = self.cells(inputs, missing)
        if self.fill.isnan().any():
            raise RuntimeError(f"{self.name!r} for {self.target!r} is not fitted: call fit or load its weights first")
        return Proposal(
            torch.where(mask, self.fill.to(known.dtype), known),
            torch.ones(len(known), dtype=torch.bool).to(mask.device),
        )
