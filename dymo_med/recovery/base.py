"""What a recovery is: it fills a missing modality, or says that it cannot."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from dymo_med.utils import as_digest, check_bool_mask, check_positive_int, check_shape

__all__ = ["Proposal", "Recovery", "TableRecovery"]


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a recovery proposes for one modality of a batch.

    Args:
        values: (B, ...) the modality as the encoder takes it: observed entries untouched, the others filled. Where
            ``available`` is False the content means nothing, yet is finite.
        available: (B,) bool, False where the recovery had nothing to go on; selection never considers those.

    Example:
        >>> import torch
        >>> Proposal(torch.zeros(2, 3), torch.tensor([True, False])).available.tolist()
        [True, False]
    """

    values: torch.Tensor
    available: torch.Tensor


class Recovery(torch.nn.Module, ABC):
    """Fills one modality from what was observed; several recoveries may target the same one.

    A subclass sets the class attribute ``name`` (a short word for traces and reports) and implements :meth:`forward`.
    What it learns is kept in parameters and buffers, so that a checkpoint is the recovery.

    Args:
        target: Modality that is filled, as batches name it.

    Example:
        >>> import torch
        >>> class Zeros(Recovery):
        ...     name = "zeros"
        ...     def forward(self, inputs, missing):
        ...         values = torch.where(missing["table"], 0.0, inputs["table"])
        ...         return Proposal(values, torch.ones(len(values), dtype=torch.bool))
        >>> table, gaps = torch.tensor([[1.0, torch.nan]]), torch.tensor([[False, True]])
        >>> Zeros("table")({"table": table}, {"table": gaps}).values.tolist()
        [[1.0, 0.0]]
    """

    name: ClassVar[str]

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    @abstractmethod
    def forward(self, inputs: Mapping[str, torch.Tensor], missing: Mapping[str, torch.Tensor]) -> Proposal:
        """Propose the target modality.

        Args:
            inputs: Batch items by modality, (B, ...) each. What stands in a missing entry is never read.
            missing: By modality, (B,) or, for a table, (B, F) bool, True = absent.

        Returns:
            The proposal; entries observed in the input are returned as they are.
        """

    def encoder_of(self, name: str) -> torch.nn.Module | None:  # noqa: ARG002 - a recovery may have no encoder at all
        """Give the encoder whose output for a modality :meth:`propose` can take; None = it reads the content.

        A network that holds the same encoder with the same weights can then pass on what it has computed already.

        Args:
            name: Modality.
        """
        return None

    @property
    def shared(self) -> torch.nn.Module | None:
        """Network that recoveries of several modalities may have in common; None = there is nothing to share."""
        return None

    def prepare(
        self,
        inputs: Mapping[str, torch.Tensor],  # noqa: ARG002 - only for recoveries that share a network
        missing: Mapping[str, torch.Tensor],  # noqa: ARG002
    ) -> dict[str, torch.Tensor]:
        """Compute what all recoveries of :attr:`shared` need, once for a batch.

        Args:
            inputs: Batch items by modality.
            missing: Masks by modality.

        Returns:
            Tensors (B, ...) for :meth:`propose`, under names that no modality has.
        """
        return {}

    def propose(
        self,
        inputs: Mapping[str, torch.Tensor],
        missing: Mapping[str, torch.Tensor],
        features: Mapping[str, torch.Tensor],  # noqa: ARG002 - only for recoveries with an encoder
    ) -> Proposal:
        """Propose the target modality as :meth:`forward` does, with features that exist already.

        Args:
            inputs: Batch items by modality.
            missing: Masks by modality.
            features: By modality the output (B, P, E) of :meth:`encoder_of`, and what :meth:`prepare` gave; may be
                empty.
        """
        proposal: Proposal = self(inputs, missing)
        return proposal


class TableRecovery(Recovery):
    """A recovery of a table from the table itself: layout and checks.

    Args:
        target: Name of the table.
        cat_cardinalities: Number of categories of each categorical column; those come first, as indices from 0.
        n_num_features: Number of continuous columns, standardised, after the categorical ones.
        schema_digest: SHA-256 of the schema of the table, 64 hexadecimal digits, kept with the weights; None = unknown.

    Raises:
        ValueError: the layout has no column or a cardinality below 1, or the digest is none.

    Example:
        >>> import torch
        >>> class Zeros(TableRecovery):
        ...     name = "zeros"
        ...     def fit(self, values, missing):
        ...         pass
        ...     def forward(self, inputs, missing):
        ...         known, mask = self.cells(inputs, missing)
        ...         return Proposal(known, torch.ones(len(mask), dtype=torch.bool))
        >>> recovery = Zeros("table", cat_cardinalities=[3], n_num_features=1)
        >>> recovery({"table": torch.tensor([[2.0, torch.nan]])}, {"table": torch.tensor([[False, True]])}).values
        tensor([[2., 0.]])
    """

    schema_digest: torch.Tensor

    def __init__(
        self,
        target: str,
        cat_cardinalities: Sequence[int],
        n_num_features: int,
        schema_digest: str | None = None,
    ) -> None:
        for index, cardinality in enumerate(cat_cardinalities):
            check_positive_int(f"cat_cardinalities[{index}]", cardinality)
        if n_num_features < 0 or not len(cat_cardinalities) + n_num_features:
            raise ValueError(
                f"a table needs at least one column, however: cat_cardinalities={list(cat_cardinalities)}, "
                f"n_num_features={n_num_features}"
            )
        super().__init__(target)
        self.cat_cardinalities = tuple(cat_cardinalities)
        self.n_num_features = n_num_features
        self.register_buffer("schema_digest", as_digest("schema_digest", schema_digest))

    @abstractmethod
    def fit(self, values: torch.Tensor, missing: torch.Tensor) -> None:
        """Learn from training rows.

        Args:
            values: (N, F) float; absent cells are not read.
            missing: (N, F) bool, True = absent.
        """

    @property
    def n_features(self) -> int:
        """Number of columns F."""
        return len(self.cat_cardinalities) + self.n_num_features

    def cells(
        self, inputs: Mapping[str, torch.Tensor], missing: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the checked table of a batch.

        Args:
            inputs: Batch items by modality; the target is (B, F) float.
            missing: Masks by modality; the target's is (B,) or (B, F) bool, True = absent.

        Returns:
            Values (B, F) with zeros in absent cells, and the mask (B, F).

        Raises:
            KeyError: the batch lacks the table or its mask.
            TypeError: the mask is not boolean.
            ValueError: a shape differs, or an observed cell is not finite or no category index.
        """
        for kind, items in (("inputs", inputs), ("missing", missing)):
            if self.target not in items:
                raise KeyError(f"{kind} must hold {self.target!r}, however: {kind} holds {sorted(items)}")
        values, mask = inputs[self.target], missing[self.target]
        check_bool_mask(f"missing[{self.target!r}]", mask)
        check_shape(f"inputs[{self.target!r}]", values, ("B", self.n_features))
        if mask.ndim == 1:
            mask = mask[:, None].expand(-1, self.n_features)
        check_shape(f"missing[{self.target!r}]", mask, tuple(values.shape))
        known = torch.where(mask, 0.0, values)
        self._check_observed(known)
        return known, mask

    def training_cells(self, values: torch.Tensor, missing: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the checked table of the training rows, as :meth:`cells` does.

        Args:
            values: (N, F) float.
            missing: (N, F) bool, True = absent.

        Returns:
            Values (N, F) with zeros in absent cells, and the mask (N, F).

        Raises:
            TypeError: the mask is not boolean.
            ValueError: as for :meth:`cells`, or a column has no observed cell.
        """
        known, mask = self.cells({self.target: values}, {self.target: missing})
        never = mask.all(dim=0).nonzero().flatten().tolist()
        if never:
            raise ValueError(
                f"every column of {self.target!r} needs an observed training cell, however: columns {never} "
                f"have none in {len(mask)} rows: leave them out of the schema"
            )
        return known, mask

    def _check_observed(self, known: torch.Tensor) -> None:
        n_cat = len(self.cat_cardinalities)
        codes = known[:, :n_cat]
        limits = torch.tensor(self.cat_cardinalities, device=known.device)
        wrong = ~known.isfinite()
        wrong[:, :n_cat] |= (codes < 0) | (codes >= limits) | (codes != codes.floor())
        if wrong.any():
            row, column = wrong.nonzero()[0].tolist()
            wanted = f"a category index below {self.cat_cardinalities[column]}" if column < n_cat else "finite"
            raise ValueError(
                f"an observed cell of {self.target!r} must be {wanted}, however: {float(known[row, column])!r} "
                f"in column {column} of batch row {row}: encode the table with its schema or mark the cell missing"
            )
