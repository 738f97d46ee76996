"""What recoveries propose for the table of the cases that a report shows, kept beside the predictions of a sweep."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dymo_med.evaluation.report.case_choice import choose_cases, hidden_cells
from dymo_med.evaluation.report.sweep_results import SweepResults
from dymo_med.recovery.base import Recovery
from dymo_med.tabular import decode_table
from dymo_med.utils import atomic_path

__all__ = ["CASES_FILE", "write_cases"]

CASES_FILE = "cases.parquet"
"""Rows of single subjects, beside the predictions: keep it there."""
_COLUMNS = ("subject_id", "mechanism", "rate", "seed", "recovery", "column", "natural", "value")


@torch.no_grad()
def write_cases(
    results: SweepResults,
    recoveries: Sequence[Recovery],
    transform: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    table: str = "table",
) -> Path:
    """Keep what recoveries propose for the cases of a report, in units and categories.

    Args:
        results: A finished sweep.
        recoveries: Recoveries on their device; those of other modalities are left out.
        transform: Makes tensors of a subject: each modality with its mask ``<modality>_missing``.
        table: Name of the table.

    Returns:
        The file ``cases.parquet`` beside the predictions, one row a case, recovery and cell that was absent:
        ``natural`` (absent by nature, not hidden by the sweep), ``value`` as text, empty where nothing was proposed.
        The values that the sweep hid are in the cohort, not here.

    Raises:
        OSError: the file cannot be written.
    """
    cases = choose_cases(results.first_draw())
    items = {str(item["subject_id"]): item for item in results.cohort.items("test", results.task)}
    rows: list[tuple[Any, ...]] = []
    for _, case in cases.iterrows():
        own: Mapping[str, Any] = {str(name): value for name, value in case.items()}
        batch = transform(dict(items[case["subject_id"]]))
        for recovery in recoveries:
            if recovery.target == table:
                rows += _rows(results, own, batch, recovery)
    path = results.predictions_file.with_name(CASES_FILE)
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=list(_COLUMNS)).to_parquet(temporary, index=False)
    return path


def _rows(
    results: SweepResults, case: Mapping[str, Any], batch: Mapping[str, Any], recovery: Recovery
) -> list[tuple[Any, ...]]:
    schema = results.cohort.schema
    inputs, missing, gaps = {}, {}, {}
    device = next(chain(recovery.parameters(), recovery.buffers()), torch.zeros(0)).device
    for name in [key.removesuffix("_missing") for key in batch if key.endswith("_missing")]:
        natural = torch.as_tensor(batch[f"{name}_missing"]).cpu().numpy().astype(bool)
        gaps[name] = (natural.ravel(), hidden_cells(results.settings, batch, case, name, natural.ravel()))
        absent = gaps[name][1].reshape(natural.shape)
        missing[name] = torch.from_numpy(absent[None]).to(device)
        inputs[name] = torch.as_tensor(batch[name])[None].to(device)
    proposal = recovery(inputs, missing)
    natural, hidden = gaps[recovery.target]
    values = proposal.values.double().cpu().numpy()
    values[:, ~hidden] = np.nan
    if not proposal.available[0]:
        values[:] = np.nan
    decoded = decode_table(values, schema).iloc[0]
    key = [case[name] for name in ("subject_id", "mechanism", "rate", "seed")]
    return [
        (*key, recovery.name, column.name, bool(natural[place]), _text(decoded[column.name]))
        for place, column in enumerate(schema.columns)
        if hidden[place]
    ]


def _text(value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
