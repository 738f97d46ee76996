"""A slow, obvious implementation of the class statistics and of the selection, one sample at a time.

Written from the published description of the method, in float64 NumPy and plain loops, to be compared with the batched
code of the library. Nothing here is imported from the room under test.

Conventions
    A *subset* is a sorted tuple of the indices of the modalities that are wholly observed or have been fused.
    A *candidate* is a pair (modality, variant); variant 0 is what was observed, 1, 2, ... are recovery proposals.
    Tokens are opaque: whatever the callable ``fuse`` understands for one modality, None for nothing at all.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Candidate = tuple[int, int]
Fuse = Callable[[list[Any]], tuple[np.ndarray, np.ndarray]]
GUARD = 1e-9


@dataclass(frozen=True)
class OracleObserved:
    """Variant 0 of every modality of one sample.

    ``tokens[m]`` is None when nothing of modality m was observed. ``complete[m]`` is True when all of it was; a partly
    observed table has tokens, yet is not complete.
    """

    tokens: Sequence[Any]
    complete: Sequence[bool]


@dataclass(frozen=True)
class OracleStatistics:
    """Class statistics: ``prototypes`` (S, K, D), ``std`` (S, K), ``overall`` (K, D), in the order of ``subsets``."""

    subsets: list[tuple[int, ...]]
    prototypes: np.ndarray
    std: np.ndarray
    overall: np.ndarray


@dataclass
class OracleStep:
    """One round: what was known before, what every candidate would give, and what was fused."""

    q_before: float
    ics_before: float
    q_after: dict[Candidate, float] = field(default_factory=dict)
    ics_after: dict[Candidate, float] = field(default_factory=dict)
    ics_weight: dict[Candidate, float] = field(default_factory=dict)
    rewards: dict[Candidate, float] = field(default_factory=dict)
    accepted: tuple[Candidate, ...] = ()


@dataclass
class OracleResult:
    """``chosen`` maps every modality to the variant in use; ``steps`` is empty for *discard* and *fuse_all*."""

    chosen: dict[int, int]
    steps: list[OracleStep]
    logits: np.ndarray
    embedding: np.ndarray


def subsets_of(n_modalities: int) -> list[tuple[int, ...]]:
    """Every non-empty subset, by size and then lexicographic."""
    found: list[tuple[int, ...]] = []
    for size in range(1, n_modalities + 1):
        found.extend(itertools.combinations(range(n_modalities), size))
    return found


def fit_statistics(
    embeddings: Mapping[tuple[int, ...], np.ndarray], labels: Sequence[int], n_classes: int, metric: str
) -> OracleStatistics:
    """Statistics from embeddings (N, D) of the same N training samples, one array for each subset."""
    order = sorted(embeddings, key=lambda subset: (len(subset), subset))
    dim = np.asarray(embeddings[order[0]]).shape[1]
    prototypes = np.zeros((len(order), n_classes, dim))
    std = np.zeros((len(order), n_classes))
    for s, subset in enumerate(order):
        features = np.asarray(embeddings[subset], dtype=np.float64)
        for k in range(n_classes):
            members = [features[i] for i in range(len(labels)) if labels[i] == k]
            prototypes[s, k] = sum(members) / len(members)
            squares = [class_distance(z, prototypes[s, k], metric) ** 2 for z in members]
            std[s, k] = math.sqrt(sum(squares) / len(squares))
    overall = np.zeros((n_classes, dim))
    for k in range(n_classes):
        overall[k] = sum(prototypes[s, k] for s in range(len(order))) / len(order)
    return OracleStatistics(order, prototypes, std, overall)


def class_distance(z: np.ndarray, prototype: np.ndarray, metric: str) -> float:
    """Distance of the class statistics: 1 - z.c for the cosine metric, the norm (not squared) for the Euclidean."""
    if metric == "cosine":
        return float(1.0 - np.dot(z, prototype))
    return float(math.sqrt(np.sum((z - prototype) ** 2)))


def confidence(z: np.ndarray, overall: np.ndarray, metric: str, temperature: float) -> float:
    """q(z): the largest softmax probability over negative distances to the overall prototypes."""
    scores = []
    for prototype in overall:
        distance = 1.0 - np.dot(z, prototype) if metric == "cosine" else np.sum((z - prototype) ** 2)
        scores.append(-float(distance) / temperature)
    top = max(scores)
    return 1.0 / sum(math.exp(score - top) for score in scores)


def intra_class_similarity(
    z: np.ndarray, logits: np.ndarray, subset: tuple[int, ...], statistics: OracleStatistics, metric: str
) -> float:
    """p(z, S): two-sided tail of the normal law at distance / sigma; nan for the empty subset (no prototypes)."""
    if not subset:
        return math.nan
    s = statistics.subsets.index(subset)
    k = int(np.argmax(logits))
    distance = class_distance(z, statistics.prototypes[s, k], metric)
    sigma = float(statistics.std[s, k])
    if sigma == 0.0:  # a class of one sample: either at its prototype or infinitely far from it
        return 1.0 if distance <= 0.0 else 0.0
    cumulative = 0.5 * math.erfc(-distance / sigma / math.sqrt(2.0))
    if distance / sigma > 1.0:  # 1 - Phi without cancellation
        return math.erfc(distance / sigma / math.sqrt(2.0))
    return min(1.0, 2.0 * (1.0 - cumulative))


def weight_of_similarity(p: float, p_after: float, form: str) -> float:
    """The factor alpha, in (0, 1].

    1 without calibration, when similarity did not fall, and when there was none before (nan). Guards of ``log_ratio``:
    p is held within [1e-9, 1 - 1e-9], so that neither p -> 0 nor p -> 1 gives an infinite or zero factor; p_after +
    1e-9 is held below 1 - 1e-9; and the quotient, which the 1e-9 pushes above 1 when both are tiny, is cut at 1.
    """
    if form == "none" or math.isnan(p) or p_after >= p:
        return 1.0
    if form == "ratio":
        return p_after / (p + GUARD)
    if form == "log_ratio":
        held = min(max(p, GUARD), 1.0 - GUARD)
        held_after = min(p_after + GUARD, 1.0 - GUARD)
        return min(1.0, math.log(held) / math.log(held_after))
    raise ValueError(form)


def select_one(
    fuse: Fuse,
    observed_state: OracleObserved,
    candidates: Mapping[Candidate, Any],
    statistics: OracleStatistics,
    *,
    strategy: str,
    ics_weight: str,
    metric: str,
    temperature: float = 0.1,
    threshold: float = 0.0,
) -> OracleResult:
    """Select for one sample; ``candidates`` maps (modality, variant >= 1) of *available* proposals to their tokens."""
    n_modalities = len(observed_state.tokens)
    missing = [m for m in range(n_modalities) if not observed_state.complete[m]]
    chosen = dict.fromkeys(range(n_modalities), 0)
    pool = sorted(c for c in candidates if c[0] in missing)
    steps: list[OracleStep] = []

    def view(state: Mapping[int, int]) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        tokens = [observed_state.tokens[m] if state[m] == 0 else candidates[m, state[m]] for m in range(n_modalities)]
        subset = tuple(m for m in range(n_modalities) if observed_state.complete[m] or state[m] > 0)
        logits, z = fuse(tokens)
        return np.asarray(logits, dtype=np.float64), np.asarray(z, dtype=np.float64), subset

    def evaluate(state: Mapping[int, int], open_candidates: Sequence[Candidate]) -> OracleStep:
        logits, z, subset = view(state)
        step = OracleStep(
            confidence(z, statistics.overall, metric, temperature),
            intra_class_similarity(z, logits, subset, statistics, metric),
        )
        for m, variant in open_candidates:
            logits_u, z_u, subset_u = view({**state, m: variant})
            q_u = confidence(z_u, statistics.overall, metric, temperature)
            p_u = intra_class_similarity(z_u, logits_u, subset_u, statistics, metric)
            alpha = weight_of_similarity(step.ics_before, p_u, ics_weight)
            step.q_after[m, variant] = q_u
            step.ics_after[m, variant] = p_u
            step.ics_weight[m, variant] = alpha
            step.rewards[m, variant] = alpha * q_u - step.q_before
        return step

    def best(rewards: Mapping[Candidate, float]) -> Candidate | None:
        winner = None
        for candidate in sorted(rewards):  # lowest modality, then lowest variant, first: a later tie does not win
            reward = rewards[candidate]
            if reward > threshold and (winner is None or reward > rewards[winner]):
                winner = candidate
        return winner

    if strategy == "fuse_all":
        for m in missing:
            variants = [variant for modality, variant in pool if modality == m]
            if variants:
                chosen[m] = min(variants)
    elif strategy == "simultaneous":
        if pool:
            step = evaluate(chosen, pool)
            for m in missing:
                winner = best({c: r for c, r in step.rewards.items() if c[0] == m})
                if winner is not None:
                    chosen[m] = winner[1]
                    step.accepted += (winner,)
            steps.append(step)
    elif strategy == "greedy":
        for _ in missing:
            if not pool:
                break
            step = evaluate(chosen, pool)
            steps.append(step)
            pool = [c for c in pool if not step.rewards[c] < threshold]  # nan and the threshold itself stay
            winner = best(step.rewards)
            if winner is None:
                break
            step.accepted = (winner,)
            chosen[winner[0]] = winner[1]
            pool = [c for c in pool if c[0] != winner[0]]
    elif strategy != "discard":
        raise ValueError(strategy)

    logits, z, _ = view(chosen)
    return OracleResult(chosen, steps, logits, z)
