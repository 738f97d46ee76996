"""From predictions of a sweep to what a bundle keeps and to the tables of its evaluation."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from dymo_med.evaluation.figures import figures_of_merit
from dymo_med.evaluation.policy_choice import choose_policy
from dymo_med.evaluation.quality_by_group import fusions_by_group, regret_by_group, rewards_by_group
from dymo_med.evaluation.recalibration import compare_calibrations, fit_isotonic, fit_platt, fit_temperature
from dymo_med.evaluation.selection_quality import candidates_of, fusion_outcomes, regret, reward_calibration
from dymo_med.evaluation.subgroups import subgroup_figures
from dymo_med.evaluation.sweep.summary import summarize_sweep
from dymo_med.inferers import Policy
from dymo_med.networks.calibration import Step, read_calibration, write_calibration
from dymo_med.utils import atomic_path, write_json

__all__ = ["TABLES_FILE", "choose_on_validation", "tabulate_sweep"]

TABLES_FILE = "tables.json"
"""How the tables of a sweep were made: the limit for small counts."""

FITS: dict[str, Callable[[ArrayLike, ArrayLike], Step]] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}
CELL = ["mechanism", "rate", "seed", "recovery"]
PATTERN = ["mechanism", "recovery", "strategy"]
AUTO = "auto"
"""Name under which the chosen policy stands in a sweep of test subjects."""


def choose_on_validation(
    predictions_path: str | Path,
    policies: Mapping[str, Policy],
    *,
    policy_file: str | Path,
    calibration_file: str | Path,
    calibration: str = "platt",
    about: Mapping[str, Any] | None = None,
) -> Policy:
    """Choose the policy of selection, calibrate its probabilities, and write both files beside the weights.

    Probabilities are calibrated on the predictions of the chosen policy with nothing hidden (rate 0), at the prevalence
    of the validation subjects.

    Args:
        predictions_path: Sweep of ``policies`` over validation subjects, rate 0 among its rates.
        policies: The policies by name, from :func:`~dymo_med.evaluation.policy_choice.policy_grid`.
        policy_file: JSON file for the policy.
        calibration_file: JSON file for the calibration.
        calibration: ``"temperature"``, ``"platt"`` or ``"isotonic"``.
        about: What else to record, such as the cohort's digest; plain values.

    Returns:
        The policy.

    Raises:
        ValueError: the calibration is unknown, rate 0 is absent, or too few subjects allow no choice or no fit.
    """
    if calibration not in FITS:
        raise ValueError(f"calibration must be one of {sorted(FITS)}, however: calibration={calibration!r}")
    predictions = pd.read_parquet(predictions_path)
    choice = choose_policy(predictions, policies)
    natural = _natural(predictions).dropna(subset="probability")
    wanted = {name: _name_in(policies, choice.policy, name) for name in natural["situation"].unique()}
    chosen = natural[natural["strategy"].astype(str) == natural["situation"].map(wanted).astype(str)]
    step = FITS[calibration](chosen["label"], chosen["probability"])
    choice.to_json(policy_file, about)
    facts = {"n": len(chosen), "n_positive": int(chosen["label"].sum())}
    write_calibration(calibration_file, [step], facts | dict(about or {}))
    return choice.policy


def tabulate_sweep(
    predictions_path: str | Path,
    folder: str | Path,
    *,
    groups: pd.DataFrame,
    references: pd.DataFrame,
    calibration_file: str | Path,
    min_count: int = 10,
) -> dict[str, pd.DataFrame]:
    """Derive every table of an evaluation from the predictions of a sweep over test subjects, and write them as CSV.

    Args:
        predictions_path: The sweep; the chosen policy stands in it as strategy ``"auto"``, with discard and fuse_all.
        folder: Where the tables go, each as a whole or not at all.
        groups: Subgroups of the subjects (:func:`~dymo_med.evaluation.subgroups.group_subjects`).
        references: Predictions of other models (:mod:`dymo_med.evaluation.reference_models`).
        calibration_file: Calibration that was fitted on validation subjects.
        min_count: Smallest number of subjects, of a class or behind a count, that a subgroup is shown with.

    Returns:
        By name: ``sweep`` (AUROC by mechanism, rate, recovery, strategy), ``figures`` (all figures of merit with
        nothing hidden), ``calibration`` (before and after), ``fusions`` (right and wrong), ``regret``, ``rewards``
        (against the true change of the loss), ``subgroups``, ``references``; and ``fusions_by_group``,
        ``regret_by_group`` (by mechanism, over its rates) and ``rewards_by_group``, small counts suppressed.

    Raises:
        ValueError: strategies or rate 0 are absent, or a table of predictions is faulty.
    """
    predictions = pd.read_parquet(predictions_path)
    natural = _natural(predictions).dropna(subset="probability")
    auto = natural[(natural["strategy"] == AUTO) & (natural["recovery"] == natural["recovery"].iloc[0])]
    if auto.empty:
        found = sorted(natural["strategy"].unique())
        raise ValueError(f"a sweep is tabulated with the chosen policy as {AUTO!r} in it, however: it has {found}")
    tried = candidates_of(predictions.dropna(subset="probability"))
    calibration = read_calibration(calibration_file)
    tables = {
        "sweep": summarize_sweep(predictions),
        "figures": _stacked(natural, ["recovery", "strategy"]),
        "calibration": compare_calibrations(auto["label"], auto["probability"], {"after": calibration}),
        "fusions": fusion_outcomes(tried, ["mechanism", "rate", "recovery", "strategy"]),
        "regret": regret(predictions, CELL, ["mechanism", "rate", "recovery"]),
        "rewards": _rewards(tried),
        "subgroups": subgroup_figures(auto, groups, min_count=min_count),
        "fusions_by_group": fusions_by_group(tried, groups, PATTERN, min_count=min_count),
        "regret_by_group": regret_by_group(predictions, groups, CELL, ["mechanism", "recovery"], min_count=min_count),
        "rewards_by_group": rewards_by_group(tried, groups, ["recovery", "strategy"], min_count=min_count),
        "references": _stacked(references, ["strategy"]),
    }
    for name, table in tables.items():
        with atomic_path(Path(folder) / f"{name}.csv") as path:
            table.to_csv(path, index=False)
    write_json(Path(folder) / TABLES_FILE, {"min_count": min_count})
    return tables


def _natural(predictions: pd.DataFrame) -> pd.DataFrame:
    """Give the predictions with nothing hidden, once; all mechanisms and seeds agree there."""
    nothing = predictions[predictions["rate"] == 0]
    if nothing.empty:
        rates = sorted(predictions["rate"].unique().tolist())
        raise ValueError(f"a sweep needs rate 0, where nothing is hidden, however: rates={rates}")
    first = nothing.iloc[0]
    is_first = (nothing["mechanism"] == first["mechanism"]) & (nothing["seed"] == first["seed"])
    natural: pd.DataFrame = nothing[is_first]
    return natural


def _name_in(policies: Mapping[str, Policy], chosen: Policy, situation: str) -> str:
    """Name the policy of the grid that decides as the chosen one does in a situation."""
    wanted = chosen.in_situation(situation)
    return next(name for name, policy in policies.items() if policy == wanted)


def _stacked(predictions: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Give the figures of merit of every group below each other."""
    tables = []
    for key, rows in predictions.groupby(names, sort=False, observed=True):
        figures = figures_of_merit(rows["label"], rows["probability"])
        for place, (name, value) in enumerate(zip(names, key, strict=True)):
            figures.insert(place, name, str(value))
        tables.append(figures)
    return pd.concat(tables, ignore_index=True)


def _rewards(tried: pd.DataFrame) -> pd.DataFrame:
    names = ["recovery", "strategy"]
    tables = []
    for key, rows in tried.groupby(names, sort=False, observed=True):
        groups, overall = reward_calibration(rows)
        for place, (name, value) in enumerate(zip(names, key, strict=True)):
            groups.insert(place, name, str(value))
        tables.append(groups.assign(**{f"overall_{name}": value for name, value in overall.items()}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
