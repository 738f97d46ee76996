"""What selection works on: tokens of modalities, their fusion, and banks of token variants."""

from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass

import torch

from dymo_med.utils import check_bool_mask, check_shape

__all__ = ["Fuse", "Fused", "TokenBank", "Tokens"]


@dataclass(frozen=True)
class Tokens:
    """Encoded modality.

    Args:
        values: Token vectors, ready to be fused; shape (B, P, E).
        missing: Boolean, shape (B, P); True = the token carries no evidence and must not be attended to.
    """

    values: torch.Tensor
    missing: torch.Tensor


@dataclass(frozen=True)
class Fused:
    """Result of fusing tokens.

    Args:
        logits: Unnormalised class scores, shape (..., B, K).
        embedding: Feature in the metric space, shape (..., B, D); L2-normalised for the cosine metric.
    """

    logits: torch.Tensor
    embedding: torch.Tensor


torch.export.register_dataclass(Fused)  # lets parallel training find the tensors in it


Fuse = Callable[[Mapping[str, Tokens]], Fused]
"""Fuses any combination of modalities; a name that is left out is absent for every row."""


class TokenBank:
    """Token variants of every modality: variant 0 what was observed, variants 1..R what recoveries propose.

    Args:
        observed: Per modality the tokens of what was observed, whole, in part or not at all; (B, P, E) each.
        proposals: Per modality the encoded proposals by name of their recovery, in order of preference. Modalities
            without one may be left out.
        available: Boolean (B,) for every proposal, under the same names: True = it exists for that sample.

    Attributes:
        complete: Boolean (B, M); True = wholly observed: nothing to recover.
        candidates: Pairs (modality index, variant), modality by modality; their number is C.
        candidate_names: Name of the recovery of every candidate.
        candidate_modality: Modality index of every candidate, int64, shape (C,).
        candidate_variant: Variant of every candidate, int64, shape (C,).
        open: Boolean (B, C); True = the proposal exists and its modality is not wholly observed.

    Raises:
        ValueError: shapes or the names of proposals disagree.
        TypeError: a mask is not boolean.

    Example:
        >>> tokens = Tokens(torch.zeros(2, 4, 8), torch.tensor([[False] * 4, [True] * 4]))
        >>> proposal, available = {"tip": tokens}, {"tip": torch.tensor([True, True])}
        >>> bank = TokenBank({"table": tokens}, {"table": proposal}, {"table": available})
        >>> bank.complete.tolist(), bank.candidates, bank.open.tolist()
        ([[True], [False]], ((0, 1),), [[False], [True]])
    """

    def __init__(
        self,
        observed: Mapping[str, Tokens],
        proposals: Mapping[str, Mapping[str, Tokens]] | None = None,
        available: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
    ) -> None:
        proposals, available = proposals or {}, available or {}
        self.modalities = tuple(observed)
        unknown = sorted(set(proposals) - set(observed))
        if unknown:
            raise ValueError(f"proposals must be for modalities of the bank {self.modalities}, however: {unknown}")
        for name, tokens in observed.items():
            check_bool_mask(f"missing tokens of {name}", tokens.missing)
        self.complete = torch.stack([~tokens.missing.any(1) for tokens in observed.values()], dim=1)
        self.observed_share = torch.stack(
            [(~t.missing).sum(1) / t.missing.shape[1] for t in observed.values()], dim=1
        )  # (B, M)
        self._values: list[torch.Tensor] = []  # per modality (V * B, P, E)
        self._missing: list[torch.Tensor] = []  # per modality (V * B, P)
        candidates: list[tuple[int, int]] = []
        names: list[str] = []
        exists: list[torch.Tensor] = []
        for index, (name, tokens) in enumerate(observed.items()):
            offered, present = proposals.get(name, {}), available.get(name, {})
            if list(offered) != list(present):
                raise ValueError(f"{name} must have one availability per proposal: {list(offered)} != {list(present)}")
            variants = [tokens, *offered.values()]
            for variant in variants:
                check_bool_mask(f"missing tokens of {name}", variant.missing)
                check_shape(f"missing tokens of {name}", variant.missing, tokens.values.shape[:2])
                check_shape(f"tokens of {name}", variant.values, tokens.values.shape)
            self._values.append(torch.cat([variant.values for variant in variants]))
            self._missing.append(torch.cat([variant.missing for variant in variants]))
            candidates += [(index, number + 1) for number in range(len(offered))]
            names += offered
            exists += present.values()
        self.candidates = tuple(candidates)
        self.candidate_names = tuple(names)
        pairs = torch.tensor(candidates, dtype=torch.int64).reshape(-1, 2).to(self.complete.device)
        self.candidate_modality, self.candidate_variant = pairs.unbind(1)
        no_candidate = self.complete.new_zeros(self.batch_size, 0)
        self.open = torch.stack(exists, 1) & ~self.complete[:, self.candidate_modality] if exists else no_candidate

    @property
    def batch_size(self) -> int:
        """Number of samples B."""
        return len(self.complete)

    def only(self, names: Collection[str]) -> "TokenBank":
        """Give a bank of the same tokens with the proposals of some recoveries only; nothing is copied.

        Args:
            names: Names of the recoveries to keep.
        """
        kept = [column for column, name in enumerate(self.candidate_names) if name in names]
        bank = copy(self)
        bank.candidates = tuple(self.candidates[column] for column in kept)
        bank.candidate_names = tuple(self.candidate_names[column] for column in kept)
        bank.candidate_modality, bank.candidate_variant = self.candidate_modality[kept], self.candidate_variant[kept]
        bank.open = self.open[:, kept]
        return bank

    def tokens(self, rows: torch.Tensor, state: torch.Tensor) -> dict[str, Tokens]:
        """Collect the tokens of states.

        Args:
            rows: Samples, int64, shape (R,).
            state: Chosen variant per modality, int64, shape (R, M).

        Returns:
            Tokens of R rows by name. Modalities absent in all of them are left out: their keys would be masked.
        """
        gathered: dict[str, Tokens] = {}
        for index, name in enumerate(self.modalities):
            chosen = state[:, index] * self.batch_size + rows
            missing = self._missing[index].index_select(0, chosen)
            is_last_resort = index == len(self.modalities) - 1 and not gathered
            # looking at the mask costs a synchronisation on a GPU
            if rows.device.type != "cpu" or is_last_resort or not bool(missing.all()):
                gathered[name] = Tokens(self._values[index].index_select(0, chosen), missing)
        return gathered
