"""The strategies that decide which recovered modalities are fused (METHOD section 5)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from dymo_med.missingness.subsets import subset_codes
from dymo_med.selection.fusions import FusedStates
from dymo_med.selection.reward import confidence, ics_weight_of, intra_class_similarity, reward
from dymo_med.selection.statistics import ClassStatistics
from dymo_med.selection.tokens import Fuse, Fused, TokenBank
from dymo_med.selection.trace import Selection, SelectionStep, SelectionTrace
from dymo_med.utils import ICSWeight, Strategy, check_positive

__all__ = ["select"]

FuseStates = Callable[[torch.Tensor, torch.Tensor], Fused]
"""Fuses states (R, M) of rows (R,)."""


@torch.no_grad()
def select(
    fuse: Fuse | FusedStates,
    bank: TokenBank,
    statistics: ClassStatistics,
    *,
    strategy: Strategy = Strategy.GREEDY,
    ics_weight: ICSWeight = ICSWeight.LOG_RATIO,
    temperature: float = 0.1,
    threshold: float | torch.Tensor = 0.0,
) -> Selection:
    """Decide per sample which proposals to fuse, and predict with them.

    Only ``fuse`` is called, on tokens that exist already; the candidates of a step go through it together, and samples
    whose decision is final take no further part. Labels are not needed.

    Args:
        fuse: Fuses tokens of any combination of modalities; where several selections are made on one bank, what they
            share of its states.
        bank: Observed tokens and proposals.
        statistics: Fitted class statistics of the network that ``fuse`` belongs to.
        strategy: Which proposals to fuse.
        ics_weight: Form of the weight by intra-class similarity.
        temperature: Softmax temperature of the confidence; 0.1 in the paper.
        threshold: Reward above which a candidate is fused, one for all samples or (B,); 0 in the paper, infinite for
            nothing, minus infinite for everything.

    Returns:
        Prediction of the final state with its trace.

    Raises:
        RuntimeError: the statistics are not fitted and the strategy needs them.
        ValueError: ``temperature`` is not positive, or ``threshold`` is nan or of another shape.
    """
    check_positive("temperature", temperature)
    limit = _limits(threshold, bank)
    everyone = torch.arange(bank.batch_size, device=bank.complete.device)
    state = bank.complete.new_zeros(bank.complete.shape, dtype=torch.int64)
    fused_states: FuseStates = fuse if isinstance(fuse, FusedStates) else _fused_states(fuse, bank)
    if strategy in (Strategy.DISCARD, Strategy.FUSE_ALL):
        if strategy is Strategy.FUSE_ALL:
            state = _fuse_first_available(bank)
        fused = fused_states(everyone, state)
        return Selection(fused.logits, fused.embedding, _trace(bank, state, ()))

    statistics.check_fitted()
    fused = fused_states(everyone, state)
    search = _Search(
        fused_states, bank, statistics, ics_weight, temperature, limit, state, bank.complete, bank.open, fused
    )
    steps: list[SelectionStep] = []
    rounds = len(bank.modalities) if strategy is Strategy.GREEDY else 1
    for _ in range(rounds):
        if not bank.candidates or (search.open.device.type == "cpu" and not bool(search.open.any())):
            break
        step, outcome = search.evaluate()
        per_modality = strategy is Strategy.SIMULTANEOUS
        accepted = _best_above(limit, step.reward, bank, per_modality=per_modality)
        steps.append(replace(step, accepted=accepted))
        search = search.advanced(step.reward, accepted, outcome, fuse_again=per_modality)
    return Selection(search.fused.logits, search.fused.embedding, _trace(bank, search.state, tuple(steps)))


@dataclass(frozen=True)
class _Search:
    """State of all samples between two steps; the state chosen in one step is the one before the next."""

    fuse: FuseStates
    bank: TokenBank
    statistics: ClassStatistics
    form: ICSWeight
    temperature: float
    limit: torch.Tensor  # (B, 1) reward above which a candidate is fused
    state: torch.Tensor  # (B, M) chosen variant
    members: torch.Tensor  # (B, M) True = the modality counts as present for the class statistics
    open: torch.Tensor  # (B, C) True = candidate still to be considered
    fused: Fused  # of `state`

    def evaluate(self) -> tuple[SelectionStep, Fused]:
        """Fuse every open candidate on its own and give the step, nothing accepted yet, and the outcomes."""
        modality, variant = self.bank.candidate_modality, self.bank.candidate_variant
        n_samples, n_candidates = self.open.shape
        rows, columns = _pairs_to_evaluate(self.open)
        place = torch.arange(len(rows), device=rows.device)
        state, members = self.state[rows], self.members[rows]
        state[place, modality[columns]] = variant[columns]
        members[place, modality[columns]] = True
        after = self.fuse(rows, state)

        q_before, p_before = self._measure(self.fused, self.members)
        q_after, p_after = self._measure(after, members)
        alpha = ics_weight_of(p_before[rows], p_after, self.form)
        gain = reward(q_before[rows], q_after, alpha)

        def spread(values: torch.Tensor) -> torch.Tensor:
            """Put one value per evaluated pair into a table of samples and candidates, nan elsewhere."""
            full = values.new_full((n_samples, n_candidates, *values.shape[1:]), torch.nan)
            full[rows, columns] = values
            hidden = ~self.open.reshape(n_samples, n_candidates, *(1,) * (values.ndim - 1))
            return full.masked_fill(hidden, torch.nan)

        step = SelectionStep(
            probs_before=torch.softmax(self.fused.logits, -1),
            confidence_before=q_before,
            ics_before=p_before,
            probs=spread(torch.softmax(after.logits, -1)),
            confidence=spread(q_after),
            ics=spread(p_after),
            ics_weight=spread(alpha),
            reward=spread(gain),
            accepted=torch.zeros_like(self.open),
        )
        return step, Fused(spread(after.logits), spread(after.embedding))

    def advanced(self, gain: torch.Tensor, accepted: torch.Tensor, outcome: Fused, *, fuse_again: bool) -> "_Search":
        """Take the accepted candidates over, reject those below the limit for good, finish who accepted nothing."""
        modality, variant = self.bank.candidate_modality, self.bank.candidate_variant
        chosen = torch.zeros_like(self.state).index_add_(1, modality, accepted * variant)
        state = torch.where(chosen > 0, chosen, self.state)
        members = self.members | (chosen > 0)
        still_open = self.open & ~(gain < self.limit) & ~members[:, modality] & accepted.any(1, keepdim=True)
        if fuse_again:
            everyone = torch.arange(len(state), device=state.device)
            fused = self.fuse(everyone, state)
        else:
            fused = Fused(
                _taken(self.fused.logits, outcome.logits, accepted),
                _taken(self.fused.embedding, outcome.embedding, accepted),
            )
        return replace(self, state=state, members=members, open=still_open, fused=fused)

    def _measure(self, fused: Fused, members: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        q = confidence(fused.embedding, self.statistics, self.temperature)
        predicted = fused.logits.argmax(-1)
        p = intra_class_similarity(fused.embedding, predicted, subset_codes(members), self.statistics)
        return q, p


def _fused_states(fuse: Fuse, bank: TokenBank) -> FuseStates:
    return lambda rows, state: fuse(bank.tokens(rows, state))


def _pairs_to_evaluate(is_open: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give sample and candidate of every open pair; off the CPU of all pairs, which needs no look at the mask."""
    if is_open.device.type == "cpu":
        rows, columns = is_open.nonzero(as_tuple=True)
        return rows, columns
    n_samples, n_candidates = is_open.shape
    rows, columns = (torch.arange(n, device=is_open.device) for n in (n_samples, n_candidates))
    return rows.repeat_interleave(n_candidates), columns.repeat(n_samples)


def _trace(bank: TokenBank, state: torch.Tensor, steps: tuple[SelectionStep, ...]) -> SelectionTrace:
    return SelectionTrace(
        bank.modalities, bank.candidates, bank.candidate_names, bank.observed_share, bank.open, state, steps
    )


def _taken(current: torch.Tensor, outcome: torch.Tensor, accepted: torch.Tensor) -> torch.Tensor:
    """Replace rows of ``current`` (B, ...) by the outcome (B, C, ...) of the one candidate that was accepted."""
    index = accepted.to(torch.int64).argmax(1)
    picked = outcome[torch.arange(len(outcome), device=outcome.device), index]
    return torch.where(accepted.any(1, keepdim=True), picked, current)


def _best_above(limit: torch.Tensor, gain: torch.Tensor, bank: TokenBank, *, per_modality: bool) -> torch.Tensor:
    """Mark the candidate of highest reward above the limit, of all or of each modality; ties go to the first."""
    accepted = torch.zeros_like(gain, dtype=torch.bool)
    modality = bank.candidate_modality
    groups = [modality == m for m in range(len(bank.modalities))] if per_modality else [torch.ones_like(modality) > 0]
    for group in groups:
        competing = torch.where(group & (gain > limit), gain, -torch.inf)
        best = competing.amax(1, keepdim=True)
        is_best = (competing == best) & (best > limit)
        accepted |= is_best & (is_best.cumsum(1) == 1)
    return accepted


def _limits(threshold: float | torch.Tensor, bank: TokenBank) -> torch.Tensor:
    """Give the reward above which a candidate is fused, (B, 1) or for all samples (1, 1)."""
    limit = torch.as_tensor(threshold, dtype=torch.float64)
    if limit.shape not in ((), (bank.batch_size,)) or bool(limit.isnan().any()):
        found = f"threshold={threshold!r}" if limit.numel() == 1 else f"threshold.shape={tuple(limit.shape)}"
        raise ValueError(f"threshold must be one number or {bank.batch_size}, never nan, however: {found}")
    return limit.reshape(-1, 1).to(bank.complete.device)


def _fuse_first_available(bank: TokenBank) -> torch.Tensor:
    """Give the state (B, M) in which every missing modality has its first available proposal."""
    state = bank.complete.new_zeros(bank.complete.shape, dtype=torch.int64)
    for column, (modality, variant) in reversed(list(enumerate(bank.candidates))):
        state[:, modality] = torch.where(bank.open[:, column], variant, state[:, modality])
    return state
