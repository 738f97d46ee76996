"""The report in words, and where its figures come from."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dymo_med import __version__
from dymo_med.evaluation.report.page import Block, Facts, Table, Text
from dymo_med.evaluation.report.sweep_results import AUTO, SweepResults
from dymo_med.evaluation.report.wording import Disclosure, estimate, number, withheld_or
from dymo_med.utils import Strategy, read_json, sha256_of

__all__ = ["policy_rules", "provenance_facts", "summary_blocks"]

_WORDS = {
    "sha256": "digest of the weights (SHA-256)",
    "code_commit": "commit of the training code",
    "code_dirty": "uncommitted changes at training",
    "dymo_med": "dymo_med at training",
    "run": "training run",
}


def summary_blocks(results: SweepResults, disclosure: Disclosure) -> list[Block]:
    """Say in words what was done and what came out, and what the chosen policy is."""
    figures: Any = results.of_recovery("figures").set_index(["strategy", "figure"])
    area = figures.loc[(AUTO, "auroc")]
    n, n_positive = area["n"], area["n_positive"]
    is_hidden = disclosure.hides(n_positive, n - n_positive)
    size = f"{n:.0f} test subjects, {n_positive:.0f} of them cases"
    size = "test subjects (number withheld)" if is_hidden or disclosure.hides_sizes else size
    auroc = withheld_or(estimate(area, between=" "), is_hidden=is_hidden)
    first = (
        f"A classifier of {results.outcome} was evaluated on {size}. With nothing hidden, the chosen policy (auto) "
        f"reaches an AUROC of {auroc} (95 % interval). "
    )
    return [
        Text(first + _calibration_words(results, disclosure)),
        Text(_gap_words(results, disclosure)),
        _policy(results),
    ]


def provenance_facts(results: SweepResults) -> Facts:
    """Give versions, digests, commit and seeds."""
    record = results.model_dir / "model.json"
    model: Mapping[str, Any] = read_json(record) if record.is_file() else {}
    facts = {
        "data": results.cohort.data_kind,
        "cohort digest": results.cohort.digest,
        **{_WORDS[name]: str(model[name]) for name in _WORDS if name in model},
        "state of network and recoveries in the sweep": str(results.settings["weights"]),
        "digest of the chosen policy": _digest(results.model_dir / "policy.json"),
        "digest of the calibration": _digest(results.model_dir / "calibration.json"),
        "digest of the predictions": _digest(results.predictions_file),
        "seeds of the gaps": ", ".join(map(str, results.seeds)),
        "missing rates": ", ".join(
            f"{rate:g}" for rate in sorted({float(cell[1]) for cell in results.settings["cells"]})
        ),
        "recoveries": "; ".join(
            f"{name}: {', '.join(group)}" for name, group in results.settings["recoveries"].items()
        ),
        "dymo_med of this report": __version__,
        "Python, NumPy, pandas, PyTorch": f"{platform.python_version()}, {np.__version__}, {pd.__version__}, "
        f"{torch.__version__}",
    }
    return Facts(facts)


def _digest(path: Path) -> str:
    return sha256_of(path)


def _calibration_words(results: SweepResults, disclosure: Disclosure) -> str:
    table: Any = results.tables["calibration"].set_index(["calibration", "figure"])
    slopes = [table.loc[(name, "calibration_slope")] for name in ("before", "after")]
    is_hidden = any(disclosure.hides(row["n_positive"], row["n"] - row["n_positive"]) for row in slopes)
    before, after = (withheld_or(number(row["value"], 2), is_hidden=is_hidden) for row in slopes)
    return (
        f"Its calibration slope is {before} before and {after} after calibration on validation subjects (1 is ideal)."
    )


def _gap_words(results: SweepResults, disclosure: Disclosure) -> str:
    """Count in how many missing patterns the chosen policy is significantly better or worse than the fixed ones."""
    table = results.of_recovery("sweep")
    own = table[(table["strategy"] == AUTO) & (table["rate"] > 0)]
    own = own[~disclosure.hides_classes(own["n"], own["n_positive"])]
    parts = []
    for reference in (Strategy.DISCARD, Strategy.FUSE_ALL):
        gain, p_value = own[f"over_{reference}"], own[f"over_{reference}_p_holm"]
        known = own[gain.notna()]
        better, worse = int(((p_value < 0.05) & (gain > 0)).sum()), int(((p_value < 0.05) & (gain < 0)).sum())
        span = f"{gain.min():+.3f} to {gain.max():+.3f}" if len(known) else "not estimable"
        parts.append(
            f"against {reference}, its AUROC differs by {span}, significantly higher in {better}, lower in {worse} of "
            f"{len(known)} patterns"
        )
    return f"With something hidden: {'; '.join(parts)} (paired DeLong, adjusted by Holm's method)."


def policy_rules(results: SweepResults) -> dict[str, str]:
    """Say in words what the chosen policy does in each situation.

    Returns:
        Rule by situation; ``otherwise`` for those that validation subjects were not in.
    """
    limits: Mapping[str, Any] = results.policy.to_record()["threshold"]
    meaning = {"inf": "fuse nothing", "-inf": "fuse everything"}
    return {
        situation: meaning.get(str(limit), f"fuse where the reward exceeds {limit}")
        for situation, limit in limits.items()
    }


def _policy(results: SweepResults) -> Table:
    policy = results.policy
    rows = [[situation, rule] for situation, rule in policy_rules(results).items()]
    note = (
        f"Strategy {policy.strategy}, weight of the intra-class similarity: {policy.ics_weight}. Chosen on "
        "validation subjects; test subjects took no part."
    )
    return Table(caption="The chosen policy (auto)", header=["situation", "rule"], rows=rows, note=note, is_text=True)
