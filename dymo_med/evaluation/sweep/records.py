"""Selections as rows of a table: prediction, what was fused, and every candidate that was tried."""

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from dymo_med.selection import Selection, TokenBank
from dymo_med.selection.situations import situation_names

__all__ = ["SCHEMA", "columns_of"]

_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    {
        "subject_id": _TEXT,
        "label": pa.int8(),
        "mechanism": _TEXT,
        "rate": pa.float64(),
        "seed": pa.int64(),
        "hidden_share": pa.float64(),  # of what the modality held before
        "recovery": _TEXT,
        "strategy": _TEXT,
        "situation": _TEXT,
        "probability": pa.float64(),  # of class 1; nan where nothing was observed
        "fused": _TEXT,
        "candidates": pa.list_(pa.string()),
        "rewards": pa.list_(pa.float64()),
        "probabilities_before": pa.list_(pa.float64()),
        "probabilities_after": pa.list_(pa.float64()),
        "accepted": pa.list_(pa.bool_()),
    }
)
"""Columns of the predictions of a sweep; the lists hold one entry a candidate that was tried, in order."""


def columns_of(selection: Selection, bank: TokenBank) -> dict[str, np.ndarray[Any, Any]]:
    """Give what a selection decided, one entry a sample.

    Args:
        selection: Selection of two classes.
        bank: The bank that it was made on.

    Returns:
        The columns of :data:`SCHEMA` that depend on the selection.

    Raises:
        ValueError: there are not two classes.
    """
    n_classes = selection.logits.shape[-1]
    if n_classes != 2:
        raise ValueError(f"a sweep is evaluated for two classes, however: the network has {n_classes}; use evaluate")
    trace = selection.trace
    nothing = (bank.observed_share == 0).all(1)
    risk = torch.softmax(selection.logits.double(), -1)[:, 1].masked_fill(nothing, torch.nan)
    pairs = zip(trace.candidates, trace.candidate_names, strict=True)
    names = [f"{trace.modalities[modality]} by {name}" for (modality, _), name in pairs]
    columns = {
        "situation": _texts(situation_names(bank.modalities, bank.observed_share)),
        "probability": risk.cpu().numpy(),
        "fused": _texts(_fused(trace.variants.cpu().numpy(), trace.candidates, names)),
    }
    return columns | _tried(selection, names)


def _fused(variants: np.ndarray[Any, Any], candidates: tuple[tuple[int, int], ...], names: list[str]) -> list[str]:
    chosen = [variants[:, modality] == variant for modality, variant in candidates]
    if not chosen:
        return [""] * len(variants)
    flags, inverse = np.unique(np.stack(chosen, axis=1), axis=0, return_inverse=True)
    texts = ["; ".join(name for name, is_in in zip(names, row, strict=True) if is_in) for row in flags]
    return [texts[place] for place in inverse.ravel()]


def _tried(selection: Selection, names: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Give one list a sample of each measure of the candidates that were evaluated, step by step."""
    steps = selection.trace.steps
    n = len(selection.logits)
    width = len(names) * len(steps)

    def side_by_side(parts: list[torch.Tensor]) -> np.ndarray[Any, Any]:
        """Put (B, C) of every step beside each other."""
        return torch.cat(parts, 1).cpu().numpy() if width else np.zeros((n, 0))

    rewards = side_by_side([step.reward for step in steps])
    after = side_by_side([step.probs[..., 1] for step in steps])
    before = side_by_side([step.probs_before[:, 1:2].expand_as(step.reward) for step in steps])
    accepted = side_by_side([step.accepted for step in steps]).astype(bool)
    titles = np.array(names * len(steps), dtype=object)
    places = [np.flatnonzero(row) for row in ~np.isnan(rewards)]
    lists = {
        "candidates": [titles[place].tolist() for place in places],
        "rewards": [row[place].tolist() for row, place in zip(rewards, places, strict=True)],
        "probabilities_before": [row[place].tolist() for row, place in zip(before, places, strict=True)],
        "probabilities_after": [row[place].tolist() for row, place in zip(after, places, strict=True)],
        "accepted": [row[place].tolist() for row, place in zip(accepted, places, strict=True)],
    }
    return {name: _objects(values) for name, values in lists.items()}


def _texts(values: list[str]) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=object)


def _objects(values: list[list[Any]]) -> np.ndarray[Any, Any]:
    """Put lists into an array, without turning lists of one length into a matrix."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
