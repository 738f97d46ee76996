"""Single cases: frames, table as observed, hidden and recovered, and the decision step by step. Not for export."""

import io
from collections.abc import Mapping
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd

from dymo_med.evaluation.report.case_choice import choose_cases
from dymo_med.evaluation.report.case_values import CASES_FILE
from dymo_med.evaluation.report.page import Block, Facts, Figure, Heading, Table, Text
from dymo_med.evaluation.report.summary import policy_rules
from dymo_med.evaluation.report.sweep_results import SweepResults
from dymo_med.evaluation.report.wording import column_title, number
from dymo_med.inferers.policy import OTHERWISE

__all__ = ["case_blocks"]

_RULE = (
    "Chosen by a rule that looks at nothing but losses, among predictions by auto with something hidden (first seed). "
    "Gain and harm are against discard, the prediction of the same subject without anything recovered; harm avoided "
    "and gain missed are against fuse_all. No subject twice; where no difference reaches 0.001, there is no such case. "
    "Extremes are not typical: the median case stands beside them."
)
_FRAMES = ("end-systole", "mid", "end-diastole")


def case_blocks(results: SweepResults) -> list[Block]:
    """Show a handful of test subjects.

    Args:
        results: A finished sweep; where ``cases.parquet`` is absent, recovered values are too.
    """
    cases = choose_cases(results.first_draw())
    if cases.empty:
        return [Text("No prediction fused anything or kept anything out that changed it: there is no case to show.")]
    decided = results.decisions(["auto"]).set_index(["subject_id", "mechanism", "rate", "seed"])
    path = results.predictions_file.with_name(CASES_FILE)
    recovered = pd.read_parquet(path) if path.is_file() else None
    items = {str(item["subject_id"]): item for item in results.cohort.items("test", results.task)}
    blocks: list[Block] = [Text(_RULE)]
    for place, (_, row) in enumerate(cases.iterrows(), start=1):
        case: dict[str, Any] = {str(name): value for name, value in row.items()}
        key = tuple(case[name] for name in ("subject_id", "mechanism", "rate", "seed"))
        decision: Any = decided.loc[[key]].iloc[0]
        blocks += [Heading(f"Case {place}: {case['case']}", begins_page=True), _facts(results, case)]
        blocks += [*_image(results, items[key[0]], case), _steps(decision, case), *_table(results, recovered, key)]
    return blocks


def _facts(results: SweepResults, case: Mapping[str, Any]) -> Facts:
    rules = policy_rules(results)
    facts = {
        "missing pattern": f"{case['mechanism']}, rate {case['rate']:g}, seed {case['seed']}",
        "situation": case["situation"],
        "rule in it": rules.get(case["situation"], rules[OTHERWISE]),
        "true class": "case" if case["label"] == 1 else "control",
        "predicted risk (before calibration)": number(case["probability"]),
        "fused": case["fused"] or "nothing",
        "difference of losses": f"{case['difference']:+.3f}, against "
        f"{'fuse_all' if case['case'] in ('largest harm avoided', 'largest gain missed') else 'discard'}",
    }
    return Facts(facts)


def _image(results: SweepResults, item: Mapping[str, Any], case: Mapping[str, Any]) -> list[Block]:
    if item["image"] is None:
        return [Text("There is no image of this subject.")]
    frames = results.cohort.read_image(item["image"])
    names = _FRAMES if len(frames) == len(_FRAMES) else tuple(f"frame {place}" for place in range(1, len(frames) + 1))
    gap = np.ones((frames.shape[2], 4), dtype=np.float32)
    strip = np.concatenate([part for frame in frames for part in (frame.T, gap)][:-1], axis=1)
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, strip, cmap="gray", vmin=0, vmax=1, format="png")
    hidden = " Hidden from the model in this pattern." if "image absent" in str(case["situation"]) else ""
    caption = f"Cine frames: {', '.join(names)}.{hidden}"
    return [Figure(caption=caption, image=buffer.getvalue(), alternative=f"Short-axis frames: {', '.join(names)}.")]


def _steps(decision: Any, case: Mapping[str, Any]) -> Block:
    lists = ("candidates", "rewards", "probabilities_before", "probabilities_after", "accepted")
    steps = list(zip(*(decision[name] for name in lists), strict=True))
    if not steps:
        return Text("Nothing was missing that a recovery could propose: there was nothing to decide.")
    rows = [
        [f"{step}. {name}", f"{reward:+.4f}", number(before), number(after), "fused" if accepted else "kept out"]
        for step, (name, reward, before, after, accepted) in enumerate(steps, start=1)
    ]
    return Table(
        caption="Decision, step by step",
        header=["candidate", "reward", "risk before", "risk if fused", "decision"],
        rows=rows,
        note=f"Predicted risk after all steps: {number(case['probability'])}. The reward sees no label.",
    )


def _table(results: SweepResults, recovered: pd.DataFrame | None, key: tuple[Any, ...]) -> list[Block]:
    if recovered is None:
        return [Text("What recoveries proposed was not kept: run sweep.yaml again to have it here.")]
    subject, mechanism, rate, seed = key
    chosen = (recovered["subject_id"] == subject) & (recovered["mechanism"] == mechanism)
    own = recovered[chosen & (recovered["rate"] == rate) & (recovered["seed"] == seed)]
    names = list(dict.fromkeys(own["recovery"]))
    wide = own.pivot_table(index="column", columns="recovery", values="value", aggfunc="first", sort=False)
    columns = results.cohort.schema.columns
    rows = []
    for column in columns:
        truth: Any = results.cohort.subjects.at[subject, column.name]
        is_absent = column.name in wide.index
        stored = "not measured" if pd.isna(truth) else f"{truth:.4g}" if isinstance(truth, float) else str(truth)
        proposals = [str(wide.at[column.name, name]) or "–" for name in names] if is_absent else [""] * len(names)
        state = ("absent" if pd.isna(truth) else "hidden") if is_absent else "observed"
        rows.append([column_title(column), state, stored, *proposals])
    header = ["column", "state", "stored value", *(f"recovered by {name}" for name in names)]
    note = "Hidden: stored, but not shown to the model in this pattern. A dash: the recovery had nothing to go on."
    caption = "Table of this subject, original units"
    return [Table(caption=caption, header=header, rows=rows, note=note, is_long=True)]
