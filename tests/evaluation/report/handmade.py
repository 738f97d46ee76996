"""A sweep made by hand: a bundle's folder with predictions of test subjects under every pattern, and its cohort."""

from typing import Any

import numpy as np
import pandas as pd
import torch

from dymo_med.data.cohort import write_cohort
from dymo_med.evaluation import group_subjects
from dymo_med.evaluation.report.case_values import write_cases
from dymo_med.evaluation.report.sweep_results import SweepResults
from dymo_med.evaluation.sweep import Mechanism, cells_of, tabulate_sweep
from dymo_med.inferers import Policy
from dymo_med.networks.calibration import PlattScaling, write_calibration
from dymo_med.recovery.base import Proposal, Recovery
from dymo_med.tabular import Column
from dymo_med.utils import save_weights, write_json

COLUMNS = [
    Column(name="sex", kind="categorical", categories=("female", "male"), title="Sex"),
    Column(name="age_years", kind="continuous", unit="years", low=18, high=110, title="Age"),
]
MECHANISMS = {"random value": Mechanism("table", "value"), "whole table": Mechanism("table", "table")}


class Means(Recovery):
    """Proposes the mean of every column, which is 0 for the network, and the first category."""

    name = "means"

    def forward(self, inputs, missing):
        values = torch.where(missing["table"], 0.0, inputs["table"])
        return Proposal(values, torch.ones(len(values), dtype=torch.bool))


def make(
    root,
    *,
    n: int = 160,
    label_of_test: int | None = None,
    center: bool = False,
    min_count: int = 10,
    tries: bool = True,
    n_seeds: int = 1,
) -> Any:
    """Write a finished sweep of three tenths of the subjects, and give its folder.

    Args:
        root: Where bundle and cohort go.
        n: Subjects of the cohort.
        label_of_test: The one class of all test subjects; None for both.
        center: Whether imaging centers are known: two large ones and one of three test subjects.
        min_count: Limit for small counts of the tables.
        tries: Whether recoveries propose anything.
        n_seeds: Draws of the gaps.
    """
    rng = np.random.default_rng(5)
    ids = [f"S{number:04d}" for number in range(n)]
    split = np.select([np.arange(n) % 10 < 5, np.arange(n) % 10 < 7], ["train", "val"], "test")
    label = (rng.random(n) < 0.4).astype(int)
    if label_of_test is not None:
        label[split == "test"] = label_of_test
    rows = pd.DataFrame(
        {"sex": np.where(rng.random(n) < 0.5, "male", "female"), "age_years": rng.normal(60, 8, n).round(1)}, index=ids
    )
    for number in range(n):
        (root / f"{number}.img").touch()
    cohort = write_cohort(
        root / "cohort",
        features=rows,
        columns=COLUMNS,
        images={subject: root / f"{at}.img" for at, subject in enumerate(ids)},
        labels=pd.DataFrame({"cad": label}, index=ids).astype("Int64"),
        splits=pd.Series(split, index=ids),
        image_size=8,
        data_kind="simulated",
        record={"label_status": {"cad": {"positive": int(label.sum()), "negative": int(n - label.sum())}}},
        read=lambda source: (np.full((3, 8, 8), int(source.stem) / n, dtype=np.float32), {}),
    )
    folder, models = root / "bundle" / "eval" / "sweep", root / "bundle" / "models"
    cells = cells_of(MECHANISMS, [0.0, 1.0], list(range(1, n_seeds + 1)))
    predictions = pd.concat([_cell(cell, cohort, rng, tries=tries) for cell in cells], ignore_index=True)
    path = folder / "test" / "predictions.parquet"
    path.parent.mkdir(parents=True)
    predictions.to_parquet(path, index=False)
    settings = {
        "mechanisms": {name: each.to_record() for name, each in MECHANISMS.items()},
        "cells": [[cell.mechanism, cell.rate, cell.seed] for cell in cells],
        "recoveries": {"means": ["means"]},
        "policies": {},
        "weights": "0" * 64,
    }
    write_json(folder / "test" / "sweep.json", settings)
    policy, about = (
        Policy(strategy="greedy").to_record(),
        {"cohort": cohort.digest, "task": "cad", "positive_class": "heart disease"},
    )
    write_json(models / "policy.json", {"policy": policy, "about": about})
    write_json(models / "model.json", {"sha256": "a" * 64, "code_commit": "c" * 40})
    save_weights(models / "model.pt", {"statistics.learned_prevalence": torch.tensor([0.5, 0.5])})
    step, of_validation = PlattScaling(0.8, -0.1), label[split == "val"]
    facts = {"n": len(of_validation), "n_positive": int(of_validation.sum())}
    write_calibration(models / "calibration.json", [step], facts)
    auto = predictions[(predictions["strategy"] == "auto") & (predictions["rate"] == 0)]
    reference = auto[["subject_id", "label", "probability"]].drop_duplicates("subject_id")
    groups = group_subjects(cohort.subjects, columns=["sex"], bands={"age_years": [50]})
    if center:
        tested = cohort.subjects.index[cohort.subjects["split"] == "test"]
        groups["assessment_center"] = np.where(np.arange(len(groups)) % 2, "11025", "11027")
        groups.loc[tested[:3], "assessment_center"] = "11028"
    tabulate_sweep(
        path,
        folder,
        groups=groups,
        references=reference.assign(strategy="table alone"),
        calibration_file=models / "calibration.json",
        min_count=min_count,
    )
    write_cases(SweepResults(folder, cohort, models), [Means("table")], _tensors)
    return root


def _tensors(item):
    return {
        "subject_id": item["subject_id"],
        "image": torch.zeros(3, 8, 8),
        "image_missing": torch.tensor(item["image"] is None),
        "table": torch.as_tensor(item["table"]),
        "table_missing": torch.as_tensor(item["table_missing"]),
    }


def _cell(cell, cohort, rng, *, tries=True):
    """Predictions of one cell by four strategies: greedy and auto fuse where the reward is above 0."""
    items = cohort.items("test", "cad")
    rows = []
    for item in items:
        before, after = (float(np.clip(0.35 + 0.2 * item["label"] + rng.normal(0, 0.2), 0.03, 0.97)) for _ in range(2))
        reward = float(rng.normal(0, 0.1))
        for strategy in ("discard", "fuse_all", "greedy", "auto"):
            accepted = strategy == "fuse_all" or (strategy != "discard" and reward > 0)
            tried = tries and cell.rate > 0 and strategy != "discard"
            rows.append(
                {
                    "subject_id": item["subject_id"], "label": item["label"], "mechanism": cell.mechanism,
                    "rate": cell.rate, "seed": cell.seed, "hidden_share": cell.rate, "recovery": "means",
                    "strategy": strategy,
                    "situation": f"image whole, table {'absent' if cell.rate else 'whole'}",
                    "probability": after if accepted and tried else before,
                    "fused": "table by means" if accepted and tried else "",
                    "candidates": ["table by means"] if tried else [], "rewards": [reward] if tried else [],
                    "probabilities_before": [before] if tried else [], "probabilities_after": [after] if tried else [],
                    "accepted": [accepted] if tried else [],
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    texts = ["subject_id", "mechanism", "recovery", "strategy", "situation", "fused"]
    return table.astype(dict.fromkeys(texts, "category") | {"label": "int8"}).astype(dict.fromkeys(texts, "str"))
