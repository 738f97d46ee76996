"""Decisions to disk: a table for people, JSON lines for programs, a summary of one screen."""

import json
import logging
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from dymo_med.selection import Selection, SelectionStep, SelectionTrace
from dymo_med.utils import atomic_path, write_text

__all__ = ["DecisionWriter", "describe", "flat_record"]

PREDICTED, NOT_PREDICTED = "predicted", "no prediction"
NOTHING_OBSERVED = "nothing was observed: no modality holds a value; supply one and predict again"


class DecisionWriter:
    """Writes what was predicted for every subject, from what, and why.

    Three files take their names when the run is complete, each as a whole: ``predictions.csv`` with one row per subject
    and policy, ``decisions.jsonl`` with every step of every selection, ``summary.txt``.

    Args:
        output_dir: Folder to write to.
        class_names: Names of the classes in order; the last is the positive one for two classes.
        set_aside: Subjects without a prediction, with columns ``subject_id`` and ``reason``.
        id_key: Batch key of the subject pseudonym.
        pattern_key: Batch key that names a simulated missing pattern; left out where batches lack it.
        title: First line of the summary.
    """

    def __init__(
        self,
        output_dir: str | Path,
        class_names: Sequence[str],
        set_aside: pd.DataFrame | None = None,
        *,
        id_key: str = "subject_id",
        pattern_key: str = "pattern",
        title: str = "Predictions",
    ) -> None:
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.set_aside = set_aside
        self.id_key = id_key
        self.pattern_key = pattern_key
        self.title = title
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator whose inferer is a :class:`~dymo_med.inferers.SelectionInferer`."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _begin(self, _: Engine) -> None:
        self._records: list[dict[str, Any]] = []

    def _collect(self, engine: Engine) -> None:
        batch, output = cast(dict[str, Any], engine.state.batch), cast(dict[str, Any], engine.state.output)
        labels = batch.get(CommonKeys.LABEL)
        for policy, selection in output[CommonKeys.PRED].items():
            for row, record in enumerate(describe(selection, self.class_names)):
                head = {"subject_id": batch[self.id_key][row], "strategy": policy}
                if self.pattern_key in batch:
                    head["pattern"] = batch[self.pattern_key][row]
                if labels is not None:
                    head["label"] = int(labels[row])
                self._records.append(head | record)

    def _write(self, _: Engine) -> None:
        aside = [] if self.set_aside is None else self._set_aside_records()
        records: list[dict[str, Any]] = [*self._records, *({**row, "status": NOT_PREDICTED} for row in aside)]
        with atomic_path(self.output_dir / "decisions.jsonl") as path, path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(_without_nan(record), allow_nan=False) + "\n" for record in records)
        table = pd.DataFrame([flat_record(record) for record in records])
        with atomic_path(self.output_dir / "predictions.csv") as path:
            table.to_csv(path, index=False)
        summary = self._summary(records)
        write_text(self.output_dir / "summary.txt", summary + "\n")
        self.logger.info("%s\nwritten: predictions.csv, decisions.jsonl, summary.txt", summary)

    def _set_aside_records(self) -> list[dict[str, Any]]:
        columns = cast(pd.DataFrame, self.set_aside)[["subject_id", "reason"]]
        return [{"subject_id": subject, "reason": reason} for subject, reason in columns.itertuples(index=False)]

    def _summary(self, records: Sequence[dict[str, Any]]) -> str:
        done = [record for record in records if record["status"] == PREDICTED]
        refused = Counter(record["reason"] for record in records if record["status"] == NOT_PREDICTED)
        lines = [
            self.title,
            f"  predictions            {len(done)}",
            f"  without a prediction   {sum(refused.values())}",
        ]
        lines += [f"    {count} x {reason}" for reason, count in refused.most_common(10)]
        for policy in dict.fromkeys(record["strategy"] for record in done):
            rows = [record for record in done if record["strategy"] == policy]
            lines.append(f"  {policy}")
            lines += _counted("class", Counter(record["predicted_class"] for record in rows))
            lines += _counted("observed", Counter(_observed_kind(record["observed"]) for record in rows))
            lines += _counted("recovered", Counter(_names(record["recovered"]) or "nothing" for record in rows))
            lines += _counted("fused", Counter(_names(record["fused"]) or "nothing" for record in rows))
        return "\n".join(lines)


def describe(selection: Selection, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Put the selection of every sample into plain values: names, numbers, lists.

    Args:
        selection: Selection of a batch.
        class_names: Names of the classes in order.

    Returns:
        One record per sample.
    """
    trace = selection.trace
    probs = torch.softmax(selection.logits.float(), -1).tolist()
    shares, variants, existing = trace.observed_share.tolist(), trace.variants.tolist(), trace.open.tolist()
    steps = [_plain_step(step, trace, class_names) for step in trace.steps]
    names = [
        {"modality": trace.modalities[modality], "recovery": name}
        for (modality, _), name in zip(trace.candidates, trace.candidate_names, strict=True)
    ]
    records: list[dict[str, Any]] = []
    for row in range(len(probs)):
        if math.isnan(probs[row][0]):
            records.append({"status": NOT_PREDICTED, "reason": NOTHING_OBSERVED})
            continue
        chosen = [variants[row][modality] == variant for modality, variant in trace.candidates]
        best = max(range(len(class_names)), key=probs[row].__getitem__)
        records.append(
            {
                "status": PREDICTED,
                "predicted_class": class_names[best],
                "probabilities": dict(zip(class_names, probs[row], strict=True)),
                "observed": dict(zip(trace.modalities, shares[row], strict=True)),
                "recovered": [name for name, exists in zip(names, existing[row], strict=True) if exists],
                "fused": [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen],
                "steps": [step[row] for step in steps if step[row]["candidates"]],
            }
        )
    return records


def _plain_step(step: SelectionStep, trace: SelectionTrace, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Give one record per sample of what a step knew and decided; a finished sample has no candidates."""
    before = zip(step.probs_before.tolist(), step.confidence_before.tolist(), step.ics_before.tolist(), strict=True)
    columns = [
        {
            "modality": trace.modalities[modality],
            "recovery": trace.candidate_names[index],
            "reward": step.reward[:, index].tolist(),
            "confidence": step.confidence[:, index].tolist(),
            "ics": step.ics[:, index].tolist(),
            "ics_weight": step.ics_weight[:, index].tolist(),
            "probabilities": step.probs[:, index].tolist(),
            "accepted": step.accepted[:, index].tolist(),
            "evaluated": (~step.reward[:, index].isnan()).tolist(),
        }
        for index, (modality, _) in enumerate(trace.candidates)
    ]
    records = []
    for row, (probs, q, p) in enumerate(before):
        candidates = [
            {
                "modality": column["modality"],
                "recovery": column["recovery"],
                **{key: column[key][row] for key in ("reward", "confidence", "ics", "ics_weight", "accepted")},
                "probabilities": dict(zip(class_names, column["probabilities"][row], strict=True)),
            }
            for column in columns
            if column["evaluated"][row]
        ]
        start = {"probabilities": dict(zip(class_names, probs, strict=True)), "confidence": q, "ics": p}
        records.append({"before": start, "candidates": candidates})
    return records


def flat_record(record: dict[str, Any]) -> dict[str, Any]:
    """Give the row of the table for people; several candidates stand in one cell, separated by semicolons."""
    flat = {key: record.get(key, "") for key in ("subject_id", "pattern", "strategy", "status", "reason", "label")}
    if record["status"] == NOT_PREDICTED:
        return flat
    probabilities = record["probabilities"]
    flat["predicted_class"] = record["predicted_class"]
    flat["probability"] = list(probabilities.values())[-1]
    flat |= {f"probability_{name}": value for name, value in probabilities.items()}
    flat["observed"] = _observed_text(record["observed"])
    flat["recovered"], flat["fused"] = _names(record["recovered"]), _names(record["fused"])
    tried = [(step["before"], candidate) for step in record["steps"] for candidate in step["candidates"]]
    flat["candidates"] = _names([candidate for _, candidate in tried])
    flat["reward"] = _joined(candidate["reward"] for _, candidate in tried)
    flat["confidence_before"] = _joined(before["confidence"] for before, _ in tried)
    flat["confidence_after"] = _joined(candidate["confidence"] for _, candidate in tried)
    flat["ics_before"] = _joined(before["ics"] for before, _ in tried)
    flat["ics_after"] = _joined(candidate["ics"] for _, candidate in tried)
    return flat


def _observed_text(shares: dict[str, float]) -> str:
    """Say what was observed, parts as rounded percentages.

    Example:
        >>> _observed_text({"image": 1.0, "table": 0.5, "ecg": 0.0})
        'image, 50 % of table'
    """
    parts = [name if share == 1 else f"{100 * share:.0f} % of {name}" for name, share in shares.items() if share > 0]
    return ", ".join(parts) or "nothing"


def _observed_kind(shares: dict[str, float]) -> str:
    """Say what was observed, parts without their size.

    Example:
        >>> _observed_kind({"image": 1.0, "table": 0.5, "ecg": 0.0})
        'image, part of table'
    """
    return ", ".join(name if share == 1 else f"part of {name}" for name, share in shares.items() if share > 0)


def _names(entries: Sequence[dict[str, Any]]) -> str:
    return "; ".join(f"{entry['modality']} by {entry['recovery']}" for entry in entries)


def _joined(values: Any) -> str:
    return "; ".join(f"{value:.6g}" for value in values)


def _counted(title: str, counts: Counter[str]) -> list[str]:
    shown = "; ".join(f"{count} x {name}" for name, count in counts.most_common(6))
    more = f"; {sum(counts.values()) - sum(c for _, c in counts.most_common(6))} other" if len(counts) > 6 else ""
    return [f"    {title:<10} {shown}{more}"]


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
