"""Sections on predicted risks: calibration before and after, and decision curves."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dymo_med.evaluation.calibration import calibration_groups, smooth_calibration
from dymo_med.evaluation.decision_curve import decision_curve
from dymo_med.evaluation.recalibration import apply_calibration, compare_calibrations
from dymo_med.evaluation.report.charts import AXIS_INK, Chart, drawing
from dymo_med.evaluation.report.page import Block, Table, Text
from dymo_med.evaluation.report.performance import figures_table
from dymo_med.evaluation.report.suppression import suppress
from dymo_med.evaluation.report.sweep_results import AUTO, SweepResults
from dymo_med.evaluation.report.wording import Disclosure, estimate, number, withheld_or
from dymo_med.networks.calibration import Calibration

__all__ = ["calibration_blocks", "decision_blocks"]

FloatArray = NDArray[np.float64]

THRESHOLDS = np.round(np.arange(0.02, 0.601, 0.02), 2)
_TABULATED = (0.04, 0.1, 0.2, 0.3, 0.4, 0.5)
_INK = "#0072B2"
_SHIFTED = "prevalence shift"


def calibration_blocks(results: SweepResults, disclosure: Disclosure) -> list[Block | Chart]:
    """Show how probabilities agree with what happened, before and after calibration; nothing hidden.

    Where the weights tell the prevalence that they learned, and it is not that of the validation subjects, the shift of
    the prevalence alone stands between the two.
    """
    label, risks = _risks(results)
    shift, table = _told_shift(results, disclosure), results.tables["calibration"]
    if shift is not None:
        shifted = compare_calibrations(label, risks["before"], {_SHIFTED: shift})
        own = shifted[shifted["calibration"] == _SHIFTED]
        table = pd.concat([table[table["calibration"] == "before"], own, table[table["calibration"] == "after"]])
        risks = {
            "before": risks["before"],
            _SHIFTED: apply_calibration(shift, risks["before"]),
            "after": risks["after"],
        }
    is_hidden = disclosure.hides(label.sum(), (~label).sum())
    figure, axes = drawing(1, len(risks), height=3.5 if len(risks) == 2 else 2.7, sharex=True, sharey=True)
    tables = []
    for panel, (name, risk) in zip(axes, risks.items(), strict=True):
        groups = calibration_groups(label, risk)
        groups = groups[~_hidden_groups(groups, disclosure)]
        curve = _curve(label, risk, disclosure)
        if is_hidden:
            groups, curve = groups.iloc[:0], curve.iloc[:0]
        panel.plot([0, 1], [0, 1], color=AXIS_INK, linewidth=0.8, linestyle=":")
        panel.plot(curve["predicted"], curve["observed"], color=_INK, linewidth=1.6)
        below = (groups["observed"] - groups["observed_low"]).clip(lower=0)
        above = (groups["observed_high"] - groups["observed"]).clip(lower=0)
        panel.errorbar(
            groups["predicted"],
            groups["observed"],
            yerr=[below, above],
            fmt="o",
            color="#1c2430",
            elinewidth=0.8,
            capsize=1.5,
        )
        panel.set(
            title=name if name == _SHIFTED else f"{name} calibration", xlabel="predicted risk", xlim=(0, 1), ylim=(0, 1)
        )
        panel.set_aspect("equal")
        kept = groups if disclosure.min_count == 1 else groups.drop(columns=["n", "n_positive"])
        tables += [kept.assign(calibration=name, series="tenths"), curve.assign(calibration=name, series="curve")]
    axes[0].set_ylabel("observed share")
    withheld = " Groups with few events or few others are left out." if disclosure.min_count > 1 else ""
    chart = Chart(
        name="calibration",
        caption="Calibration of auto on test subjects, nothing hidden: tenths of predicted risk with 95 % intervals "
        f"(points) and a restricted cubic spline (line); dotted: perfect.{withheld}",
        alternative="Observed share against predicted risk before and after calibration; the table holds slope and "
        "intercept.",
        drawing=figure,
        data=pd.concat(tables, ignore_index=True),
        is_empty=not any(len(each) for each in tables),
    )
    shown = figures_table("Calibration on test subjects", table, disclosure, rows="calibration")
    return [chart, shown, Text(_calibration_words(results, shift))]


def _told_shift(results: SweepResults, disclosure: Disclosure) -> Calibration | None:
    """Give the shift of the prevalence, unless it would tell a small number of cases of a split."""
    subjects = results.cohort.subjects
    counts = pd.crosstab(subjects["split"], subjects[f"label_{results.task}"]).to_numpy().ravel()
    return None if disclosure.hides(*counts) else results.prevalence_shift


def _calibration_words(results: SweepResults, shift: Calibration | None) -> str:
    steps = " and ".join(step.kind for step in results.calibration.steps)
    words = f"Calibration ({steps}) was fitted on validation subjects with nothing hidden."
    if shift is None:
        return words
    learned, target = (f"{100 * getattr(shift.steps[0], name)[-1]:.1f} %" for name in ("learned", "target"))
    return (
        f"{words} The prevalence shift moves the log odds from {learned} cases, as the loss met them in training, to "
        f"{target}, as among validation subjects; it is fitted on nothing else."
    )


def decision_blocks(results: SweepResults, disclosure: Disclosure) -> list[Block | Chart]:
    """Show what acting on the predicted risk is worth at every threshold; nothing hidden."""
    label, risks = _risks(results)
    if disclosure.hides(label.sum(), (~label).sum()):  # treating all tells the share of cases
        return [Text("Decision curves and net benefit are withheld: they would tell a small number of cases.")]
    curves = {name: decision_curve(label, risk, THRESHOLDS.tolist()) for name, risk in risks.items()}
    withheld_at = {}
    for name, risk in risks.items():
        treated = (risk[:, None] >= THRESHOLDS).sum(axis=0)
        hidden = withheld_at[name] = [disclosure.hides(count, len(risk) - count) for count in treated]
        columns = ["net_benefit", "net_benefit_low", "net_benefit_high"]
        curves[name].loc[hidden, columns] = np.nan
    after, before = curves["after"], curves["before"]
    figure, (axes,) = drawing(1, 1, height=3.1)
    axes.fill_between(
        after["threshold"], after["net_benefit_low"], after["net_benefit_high"], color=_INK, alpha=0.15, linewidth=0
    )
    axes.plot(after["threshold"], after["net_benefit"], color=_INK, linewidth=2, label="auto, calibrated")
    axes.plot(
        before["threshold"],
        before["net_benefit"],
        color="#D55E00",
        linewidth=1.2,
        linestyle="--",
        label="auto, before calibration",
    )
    axes.plot(after["threshold"], after["treat_all"], color="#666666", linewidth=1.2, linestyle="-.", label="treat all")
    axes.axhline(0, color="#1c2430", linewidth=1, label="treat none")
    top = float(np.nanmax([after["treat_all"].max(), after["net_benefit_high"].max()]))
    axes.set(xlabel="threshold of risk", ylabel="net benefit", ylim=(-0.3 * top, 1.05 * top), xlim=(0, THRESHOLDS[-1]))
    axes.legend(loc="upper right")
    withheld = " Thresholds that would tell few subjects apart are left out." if disclosure.min_count > 1 else ""
    chart = Chart(
        name="decision_curve",
        caption=f"Decision curves on test subjects, nothing hidden; band: 95 % bootstrap interval.{withheld}",
        alternative="Net benefit against the threshold of risk for auto before and after calibration, treating all and "
        "treating none; the table holds values.",
        drawing=figure,
        data=pd.concat([curve.assign(risk=name) for name, curve in curves.items()], ignore_index=True),
    )
    rows = [
        [
            f"{row['threshold']:g}",
            withheld_or(estimate(row, "net_benefit", between=" "), is_hidden=row["is_withheld"]),
            number(row["treat_all"]),
            "0.000",
        ]
        for _, row in after.assign(is_withheld=withheld_at["after"])[after["threshold"].isin(_TABULATED)].iterrows()
    ]
    header = ["threshold", "auto, calibrated", "treat all", "treat none"]
    note = "Net benefit: share of true positives less that of false ones times the odds of the threshold."
    return [chart, Table(caption="Net benefit", header=header, rows=rows, note=note)]


def _risks(results: SweepResults) -> tuple[NDArray[np.bool_], dict[str, FloatArray]]:
    table = results.nothing_hidden(AUTO)
    risk = table["probability"].to_numpy(dtype=np.float64)
    return table["label"].to_numpy() == 1, {"before": risk, "after": apply_calibration(results.calibration, risk)}


def _hidden_groups(groups: pd.DataFrame, disclosure: Disclosure) -> NDArray[np.bool_]:
    """Choose tenths to leave out: few events, few others, or what would tell these by subtraction."""
    hidden = np.zeros(len(groups), dtype=bool)
    for counts in (groups["n_positive"], groups["n"] - groups["n_positive"]):
        numbers = np.append(counts.to_numpy(dtype=np.int64), counts.sum())
        hidden |= suppress(numbers, [range(len(numbers))], disclosure.min_count, last=(len(counts),))[:-1]
    return hidden


def _curve(label: NDArray[np.bool_], risk: FloatArray, disclosure: Disclosure) -> pd.DataFrame:
    """Give the smooth curve at hundredths of risk, between bounds beyond which at least ``min_count`` subjects lie."""
    smooth = smooth_calibration(label, risk)
    share = min(max(0.01, disclosure.min_count / len(risk)), 0.5)
    low, high = np.quantile(risk, [share, 1 - share])
    grid = np.round(np.arange(np.ceil(low * 100), np.floor(high * 100) + 1) / 100, 2)
    order = np.argsort(risk)
    return pd.DataFrame({"predicted": grid, "observed": np.interp(grid, risk[order], smooth[order]).round(3)})
