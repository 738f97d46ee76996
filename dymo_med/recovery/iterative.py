"""Iterative multivariate imputation of a table (IMI), fitted by scikit-learn and replayed in torch."""

import warnings
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes IterativeImputer importable
from sklearn.impute import IterativeImputer
from sklearn.linear_model import BayesianRidge

from dymo_med.recovery.base import Proposal, TableRecovery
from dymo_med.utils import rebuildable
from dymo_med.utils.checks import check_positive_int

__all__ = ["IterativeRecovery"]

UNSETTLED = 0.05
"""Root mean square change of the imputed training cells in the last round above which the fit warns: standard
deviations for numbers, probability for categories."""


@rebuildable
class IterativeRecovery(TableRecovery):
    """Fills every absent cell by a Bayesian ridge regression on all other cells, round after round.

    Fitting is scikit-learn's ``IterativeImputer`` without posterior draws, on training rows only. Its regressions are
    linear, so they are stored as tensors and replayed: the module has a plain ``state_dict``, runs on any device, needs
    no scikit-learn to predict and handles one subject at a time.

    Nominal categories are never averaged as numbers. A column of k categories enters as k - 1 indicators, all but the
    most frequent category, and leaves as the category of highest estimate, that of the most frequent being one minus
    the others. (With all k indicators each would be predicted perfectly by its equally unknown siblings, and no
    category would ever move away from the training mode.) Estimates are kept within the observed training range.

    Args:
        target: Name of the table.
        cat_cardinalities: Number of categories of each categorical column; those come first, as indices from 0.
        n_num_features: Number of continuous columns, standardised, after the categorical ones.
        n_rounds: Rounds over all columns; 10 as in the reference imputation of the UK Biobank tables.
        schema_digest: SHA-256 of the schema of the table, kept with the weights; None = unknown.

    Raises:
        ValueError: the layout has nothing to predict from, or a cardinality or ``n_rounds`` is below 1.

    Example:
        >>> import torch
        >>> x = torch.linspace(-1, 1, 20)
        >>> recovery = IterativeRecovery("table", cat_cardinalities=[2], n_num_features=2)
        >>> recovery.fit(torch.stack([(x > 0).float(), x, -x], dim=1), torch.zeros(20, 3, dtype=torch.bool))
        >>> gaps = torch.tensor([[True, False, True]])
        >>> proposal = recovery({"table": torch.tensor([[torch.nan, 0.5, torch.nan]])}, {"table": gaps})
        >>> proposal.values.round(decimals=2).tolist()
        [[1.0, 0.5, -0.5]]
    """

    name: ClassVar[str] = "iterative"
    coefficients: torch.Tensor
    intercepts: torch.Tensor
    order: torch.Tensor
    start: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    reference: torch.Tensor

    def __init__(
        self,
        target: str,
        cat_cardinalities: Sequence[int],
        n_num_features: int,
        n_rounds: int = 10,
        schema_digest: str | None = None,
    ) -> None:
        check_positive_int("n_rounds", n_rounds)
        super().__init__(target, cat_cardinalities, n_num_features, schema_digest)
        n_encoded = sum(self.cat_cardinalities) - len(self.cat_cardinalities) + n_num_features
        if n_encoded < 2:
            raise ValueError(
                f"iterative imputation needs a second column to predict from, however: {n_encoded} after encoding "
                f"cat_cardinalities={list(cat_cardinalities)}, n_num_features={n_num_features}: use MeanModeRecovery"
            )
        self.n_rounds = n_rounds
        self.register_buffer("coefficients", torch.zeros(n_rounds, n_encoded, n_encoded, dtype=torch.float64))
        self.register_buffer("intercepts", torch.zeros(n_rounds, n_encoded, dtype=torch.float64))
        self.register_buffer("order", torch.zeros(n_encoded, dtype=torch.int64))
        self.register_buffer("start", torch.full((n_encoded,), torch.nan, dtype=torch.float64))  # nan until fitted
        self.register_buffer("low", torch.zeros(n_encoded, dtype=torch.float64))
        self.register_buffer("high", torch.zeros(n_encoded, dtype=torch.float64))
        self.register_buffer("reference", torch.zeros(len(self.cat_cardinalities), dtype=torch.int64))

    def fit(self, values: torch.Tensor, missing: torch.Tensor) -> None:
        """Fit the regressions on training rows.

        Args:
            values: (N, F) float; absent cells are not read.
            missing: (N, F) bool, True = absent.

        Raises:
            TypeError: the mask is not boolean.
            ValueError: a shape differs, an observed cell is invalid, or a column has no observed cell.
        """
        known, mask = self.training_cells(values, missing)
        for column, cardinality in enumerate(self.cat_cardinalities):
            codes = known[~mask[:, column], column].long()
            self.reference[column] = codes.bincount(minlength=cardinality).argmax()
        encoded, absent = self._encode(known, mask)
        low = torch.where(absent, torch.inf, encoded).amin(dim=0)
        high = torch.where(absent, -torch.inf, encoded).amax(dim=0)
        self.low.copy_(low)
        self.high.copy_(torch.where(high > low, high, torch.inf))  # scikit-learn wants room above a constant column
        imputer = IterativeImputer(
            BayesianRidge(),
            max_iter=self.n_rounds,
            tol=0.0,  # every round, also for complete training tables
            min_value=self.low.cpu().numpy(),
            max_value=self.high.cpu().numpy(),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # judged by _warn_if_unsettled instead
            imputer.fit(torch.where(absent, torch.nan, encoded).cpu().numpy())
        self._store(imputer)
        self._warn_if_unsettled(encoded, absent)

    @torch.no_grad()
    def forward(self, inputs: Mapping[str, torch.Tensor], missing: Mapping[str, torch.Tensor]) -> Proposal:
        """Propose the table.

        Args:
            inputs: Holds the table (B, F).
            missing: Holds its mask, (B,) or (B, F) bool, True = absent.

        Returns:
            The filled table; not available for subjects without a single observed cell, for whom the imputer could only
            repeat the training mean.

        Raises:
            KeyError: the batch lacks the table or its mask.
            RuntimeError: the recovery is not fitted.
            TypeError: the mask is not boolean.
            ValueError: a shape differs or an observed cell is invalid.
        """
        known, mask = self.cells(inputs, missing)
        if self.start.isnan().any():
            raise RuntimeError(f"{self.name!r} for {self.target!r} is not fitted: call fit or load its weights first")
        completed = self._replay(*self._encode(known, mask), self.n_rounds)
        return Proposal(torch.where(mask, self._decode(completed).to(known.dtype), known), ~mask.all(dim=1))

    def _encode(self, known: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n_cat = len(self.cat_cardinalities)
        columns, widths = [], []
        for column, cardinality in enumerate(self.cat_cardinalities):
            indicators = torch.nn.functional.one_hot(known[:, column].long(), cardinality)
            columns.append(indicators[:, self._others(column)].to(self.start.dtype))
            widths.append(cardinality - 1)
        repeats = torch.tensor(widths + [1] * self.n_num_features, device=mask.device)
        return torch.cat([*columns, known[:, n_cat:].to(self.start.dtype)], dim=1), mask.repeat_interleave(
            repeats, dim=1
        )

    def _decode(self, completed: torch.Tensor) -> torch.Tensor:
        columns, first = [], 0
        for column, cardinality in enumerate(self.cat_cardinalities):
            others = completed[:, first : first + cardinality - 1]
            scores = completed.new_zeros(len(completed), cardinality)
            scores[:, self._others(column)] = others
            scores[:, self.reference[column]] = 1.0 - others.sum(dim=1)
            columns.append(scores.argmax(dim=1, keepdim=True).to(completed.dtype))
            first += cardinality - 1
        return torch.cat([*columns, completed[:, first:]], dim=1)

    def _others(self, column: int) -> torch.Tensor:
        categories = torch.arange(self.cat_cardinalities[column], device=self.reference.device)
        return categories[categories != self.reference[column]]

    def _replay(self, encoded: torch.Tensor, absent: torch.Tensor, n_rounds: int) -> torch.Tensor:
        completed = torch.where(absent, self.start, encoded)
        order = self.order.tolist()
        for round_index in range(n_rounds):
            for column in order:
                estimate = completed @ self.coefficients[round_index, column] + self.intercepts[round_index, column]
                estimate = estimate.clamp(self.low[column], self.high[column])
                completed[:, column] = torch.where(absent[:, column], estimate, completed[:, column])
        return completed

    def _store(self, imputer: IterativeImputer) -> None:
        self.start.copy_(torch.as_tensor(imputer.initial_imputer_.statistics_))
        n_encoded = len(self.start)
        coefficients = np.zeros((self.n_rounds, n_encoded, n_encoded))
        intercepts = np.zeros((self.n_rounds, n_encoded))
        for step, triplet in enumerate(imputer.imputation_sequence_):
            round_index, column = step // n_encoded, triplet.feat_idx
            coefficients[round_index, column, triplet.neighbor_feat_idx] = triplet.estimator.coef_
            intercepts[round_index, column] = triplet.estimator.intercept_
        self.coefficients.copy_(torch.from_numpy(coefficients))
        self.intercepts.copy_(torch.from_numpy(intercepts))
        self.order.copy_(torch.tensor([triplet.feat_idx for triplet in imputer.imputation_sequence_[:n_encoded]]))

    def _warn_if_unsettled(self, encoded: torch.Tensor, absent: torch.Tensor) -> None:
        last, before = (
            self._replay(encoded, absent, n_rounds)[absent] for n_rounds in (self.n_rounds, self.n_rounds - 1)
        )
        change = float((last - before).square().mean().sqrt())  # nan, hence no warning, for complete training tables
        if change > UNSETTLED:
            warnings.warn(
                f"imputation of {self.target!r} still moved by {change:.3f} in round {self.n_rounds} (settled below "
                f"{UNSETTLED}): raise n_rounds, or look for columns that are nearly copies of each other",
                stacklevel=3,
            )
