"""What a selection decided and why, for every sample and step."""

from dataclasses import dataclass

import torch

__all__ = ["Selection", "SelectionStep", "SelectionTrace"]


@dataclass(frozen=True)
class SelectionStep:
    """One round of candidates. nan marks what was not evaluated for a sample.

    Args:
        probs_before: Class probabilities of the current state, shape (B, K).
        confidence_before: q of the current state, shape (B,).
        ics_before: Intra-class similarity of the current state, shape (B,).
        probs: Class probabilities after each candidate, shape (B, C, K).
        confidence: q after each candidate, shape (B, C).
        ics: Intra-class similarity after each candidate, shape (B, C).
        ics_weight: alpha of each candidate, shape (B, C).
        reward: Reward of each candidate, shape (B, C).
        accepted: True = the candidate was fused in this step, shape (B, C).
    """

    probs_before: torch.Tensor
    confidence_before: torch.Tensor
    ics_before: torch.Tensor
    probs: torch.Tensor
    confidence: torch.Tensor
    ics: torch.Tensor
    ics_weight: torch.Tensor
    reward: torch.Tensor
    accepted: torch.Tensor


@dataclass(frozen=True)
class SelectionTrace:
    """Every decision of a selection; enough to audit and to draw it.

    Args:
        modalities: Names in the order of the modality axis.
        candidates: Pairs (modality index, variant) in the order of the candidate axis.
        candidate_names: Name of the recovery behind every candidate.
        observed_share: Share of each modality's tokens that was observed, shape (B, M), 0 to 1.
        open: True = the candidate existed and its modality was not wholly observed, shape (B, C).
        variants: Chosen variant per modality at the end, int64, shape (B, M); 0 = what was observed.
        steps: Rounds in order; none for the strategies discard and fuse_all, which evaluate nothing.
    """

    modalities: tuple[str, ...]
    candidates: tuple[tuple[int, int], ...]
    candidate_names: tuple[str, ...]
    observed_share: torch.Tensor
    open: torch.Tensor
    variants: torch.Tensor
    steps: tuple[SelectionStep, ...]


@dataclass(frozen=True)
class Selection:
    """Prediction and its trace.

    Args:
        logits: Class scores of the final state, shape (B, K).
        embedding: Feature of the final state, shape (B, D).
        trace: How it came about.
    """

    logits: torch.Tensor
    embedding: torch.Tensor
    trace: SelectionTrace
