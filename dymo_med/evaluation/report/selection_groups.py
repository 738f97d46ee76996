"""The selection by subgroup: how often it was right, what it cost, and what its rewards were worth."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from dymo_med.evaluation.report.page import Block, Heading, Table, Text
from dymo_med.evaluation.report.sweep_results import AUTO, SweepResults
from dymo_med.evaluation.report.wording import Disclosure, estimate, number, titled, withheld_or

__all__ = ["selection_group_blocks"]

_DRAWS = "Every draw of the gaps of a subject counts."
_SUPPRESSED = "Withheld: fewer subjects than the limit, here or in a group that this one would reveal."
_NOT_TOLD = (
    "The selection by subgroup is left out: the sweep tabulated it with a lower limit for small counts (min_count) "
    "than this form has. Sweep with that limit to have it here."
)


def selection_group_blocks(results: SweepResults, disclosure: Disclosure) -> list[Block]:
    """Tabulate right decisions, regret and rewards of the chosen policy by subgroup; nothing without subgroups.

    Small groups were suppressed by the sweep, which knows the subjects behind a count. The export form shows them only
    where the sweep's limit was at least its own.

    Args:
        results: The sweep.
        disclosure: What may be told.
    """
    parts = {name: _of_auto(results, name) for name in ("fusions_by_group", "regret_by_group", "rewards_by_group")}
    if all(part.empty for part in parts.values()):
        return []
    if disclosure.min_count > 1 and results.min_count < disclosure.min_count:
        return [Text(_NOT_TOLD)]
    blocks: list[Block] = [Heading("By subgroup")]
    if all((part["reason"] != "").all() for part in parts.values() if not part.empty):
        return [*blocks, Text("Every subgroup is withheld: too few subjects, or too few behind a count.")]
    if not (fusions := parts["fusions_by_group"]).empty:
        note = f"Share of candidates that were rightly fused or rightly kept out, and their number. {_DRAWS}"
        blocks.append(_by_mechanism("Right decisions of auto by subgroup", fusions, results, _right, note))
    if not (regrets := parts["regret_by_group"]).empty:
        note = "Over all rates; below 0 is better than the better of discard and fuse_all. 95 % bootstrap intervals."
        blocks.append(_by_mechanism("Mean regret of auto by subgroup", regrets, results, _regret, note))
    if not (rewards := parts["rewards_by_group"]).empty:
        blocks.append(_rewards(rewards, results))
    return blocks


def _of_auto(results: SweepResults, name: str) -> pd.DataFrame:
    table = results.tables[name]
    if table.empty:
        return table
    return table[(table["recovery"] == results.recovery) & (table["strategy"] == AUTO)]


def _by_mechanism(
    caption: str, table: pd.DataFrame, results: SweepResults, cell: Callable[[pd.DataFrame], str], note: str
) -> Table:
    """Tabulate one row a group and one column a missing pattern."""
    mechanisms = [
        name for name in dict.fromkeys(results.tables["sweep"]["mechanism"]) if name in set(table["mechanism"])
    ]
    rows: list[list[str]] = []
    for variable, groups in table.groupby("variable", sort=False):
        rows.append([titled(str(variable), results.cohort.schema)])
        for group, own in groups.groupby("group", sort=False):
            of_mechanism = {str(name): part for name, part in own.groupby("mechanism")}
            rows.append(
                [str(group), *(cell(of_mechanism[name]) if name in of_mechanism else "–" for name in mechanisms)]
            )
    return Table(caption=caption, header=["", *mechanisms], rows=rows, note=_noted(note, table))


def _noted(note: str, table: pd.DataFrame) -> str:
    return f"{note} {_SUPPRESSED}" if (table["reason"] != "").any() else note


def _right(decisions: pd.DataFrame) -> str:
    n, n_right = decisions["n"].sum(), decisions["n_right"].sum()
    is_hidden = bool(decisions["n"].isna().any())
    return withheld_or("–" if is_hidden else f"{100 * n_right / n:.0f} %\nof {n:,.0f}", is_hidden=is_hidden)


def _regret(own: pd.DataFrame) -> str:
    row: Any = own.iloc[0]
    return withheld_or(estimate(row, "regret"), is_hidden=row["reason"] != "")


def _rewards(table: pd.DataFrame, results: SweepResults) -> Table:
    rows: list[list[str]] = []
    for variable, groups in table.groupby("variable", sort=False):
        rows.append([titled(str(variable), results.cohort.schema)])
        for group, own in groups.groupby("group", sort=False):
            row: Any = own.iloc[0]
            texts = (f"{row['overall_n']:,.0f}", number(row["overall_spearman"]), number(row["overall_auroc"]))
            is_hidden = row["reason"] != ""
            rows.append([str(group), *(withheld_or(text, is_hidden=is_hidden) for text in texts)])
    return Table(
        caption="Reward of auto against the true fall of the loss, by subgroup",
        header=["", "candidates", "rank correlation", "AUROC of the reward for a fusion that helps"],
        rows=rows,
        note=_noted(f"Over all missing patterns. {_DRAWS}", table),
    )
