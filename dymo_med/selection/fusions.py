"""Fusions that several selections on the same tokens share."""

import torch

from dymo_med.selection.tokens import Fuse, Fused, TokenBank

__all__ = ["FusedStates"]


class FusedStates:
    """Fuses the states of a bank, each one once, whichever selections ask for it.

    Strategies, weights and thresholds meet the same few states again and again: of an image and a table with one
    proposal there are two, however many policies are compared. Looking up what is known costs a synchronization on a
    GPU, so a single selection does without.

    Args:
        fuse: Fuses tokens of any combination of modalities.
        bank: Observed tokens and proposals; selections may see fewer of its proposals (:meth:`TokenBank.only`).

    Example:
        >>> from dymo_med.selection import Tokens
        >>> tokens = Tokens(torch.ones(2, 1, 1), torch.tensor([[False], [False]]))
        >>> calls = []
        >>> def fuse(tokens):
        ...     calls.append(len(tokens["table"].values))
        ...     return Fused(tokens["table"].values[:, 0], tokens["table"].values[:, 0])
        >>> fused = FusedStates(fuse, TokenBank({"table": tokens}))
        >>> fused(torch.tensor([1]), torch.tensor([[0]])).logits, calls
        (tensor([[1.]]), [1])
        >>> fused(torch.tensor([0, 1]), torch.tensor([[0], [0]])).logits.tolist(), calls
        ([[1.0], [1.0]], [1, 1])
    """

    def __init__(self, fuse: Fuse, bank: TokenBank) -> None:
        self.fuse = fuse
        self.bank = bank
        sizes = [1 + sum(modality == index for modality, _ in bank.candidates) for index in range(len(bank.modalities))]
        steps = [1]
        for size in sizes:
            steps.append(steps[-1] * size)
        device = bank.complete.device
        self._steps = torch.tensor(steps[:-1], dtype=torch.int64, device=device)
        self._is_known = torch.zeros(steps[-1] * bank.batch_size, dtype=torch.bool, device=device)
        self._known: Fused | None = None

    def __call__(self, rows: torch.Tensor, state: torch.Tensor) -> Fused:
        """Give the fusions of states.

        Args:
            rows: Samples, int64, shape (R,).
            state: Chosen variant per modality, int64, shape (R, M); no sample has the same state twice.

        Returns:
            Fusions of R rows.
        """
        place = (state * self._steps).sum(1) * self.bank.batch_size + rows
        is_new = ~self._is_known[place]
        if self._known is None or bool(is_new.any()):
            new = self.fuse(self.bank.tokens(rows[is_new], state[is_new]))
            if self._known is None:
                parts = (new.logits, new.embedding)
                self._known = Fused(*(part.new_zeros(len(self._is_known), part.shape[-1]) for part in parts))
            self._known.logits[place[is_new]] = new.logits
            self._known.embedding[place[is_new]] = new.embedding
            self._is_known[place[is_new]] = True
        return Fused(self._known.logits[place], self._known.embedding[place])
