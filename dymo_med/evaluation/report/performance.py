"""Sections on performance: discrimination by pattern and strategy, reference models, subgroups."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dymo_med.evaluation.report.charts import AXIS_INK, Chart, drawing, error_bars, lines_of
from dymo_med.evaluation.report.page import Block, Table, Text
from dymo_med.evaluation.report.sweep_results import AUTO, SweepResults
from dymo_med.evaluation.report.wording import Disclosure, estimate, figure_title, p_value, titled, withheld_or
from dymo_med.utils import Strategy

__all__ = ["by_pattern", "figures_table", "recoveries_compared", "references", "subgroups", "sweep_chart"]

INTERVALS = "95 % intervals: DeLong for the AUROC, stratified bootstrap for all others."
_MOST_COLUMNS = 6
_SUBGROUP_FIGURES = ("auroc", "brier", "calibration_intercept", "calibration_slope")


def figures_table(
    caption: str, table: pd.DataFrame, disclosure: Disclosure, *, rows: str, figures: Sequence[str] | None = None
) -> Table:
    """Tabulate figures of merit, one row a model and one column a figure; many figures go down instead.

    Args:
        caption: What the table shows.
        table: Columns ``figure``, ``value``, ``low``, ``high``, ``n``, ``n_positive``, ``reason``.
        disclosure: What may be told.
        rows: Column that names the rows.
        figures: Figures to show, None for all.
    """
    names = [name for name in dict.fromkeys(table["figure"]) if figures is None or name in figures]
    body = []
    for title, group in table.groupby(rows, sort=False):
        cells = group.set_index("figure")
        n, n_positive = cells["n"].iloc[0], cells["n_positive"].iloc[0]
        is_hidden = disclosure.hides(n_positive, n - n_positive)
        texts = [_cell(cells.loc[name], name, disclosure, n_positive, is_hidden=is_hidden) for name in names]
        size = withheld_or(
            "–" if pd.isna(n) else f"{n:.0f} ({n_positive:.0f})",
            is_hidden=is_hidden or pd.isna(n) or disclosure.hides_sizes,
        )
        body.append([str(title), size, *texts])
    reasons = [reason for reason in dict.fromkeys(table["reason"]) if reason]
    header = ["", "n (events)", *map(figure_title, names)]
    if len(names) > _MOST_COLUMNS:
        first, *others = ([title, *(row[place] for row in body)] for place, title in enumerate(header))
        header, body = first, others
    return Table(
        caption=caption, header=header, rows=body, note=" ".join([INTERVALS, *(f"{each}." for each in reasons)])
    )


def by_pattern(results: SweepResults, disclosure: Disclosure) -> list[Block]:
    """Tabulate the AUROC of every strategy under every missing pattern, and the gain of the chosen policy."""
    others = [name for name in results.strategies if name not in results.main_strategies]
    tables = [_auroc_table("AUROC by missing pattern", results, disclosure, results.main_strategies)]
    tables += (
        [_auroc_table("AUROC by missing pattern, other strategies", results, disclosure, others)] if others else []
    )
    return [tables[0], _gain_table(results, disclosure), *tables[1:]]


def sweep_chart(results: SweepResults, disclosure: Disclosure, name: str, value: str, title: str) -> Chart:
    """Draw a figure against the missing rate, one panel a mechanism and one line a strategy.

    Args:
        results: The sweep.
        disclosure: What may be told.
        name: Table of the sweep, ``"sweep"`` or ``"regret"``.
        value: Column with its ``_low`` and ``_high``.
        title: Name of the figure, for axis and caption.
    """
    table = results.of_recovery(name)
    if "n_positive" in table:
        table = table[~disclosure.hides_classes(table["n"], table["n_positive"])]
    else:
        table = table[~table["n"].map(disclosure.hides).astype(bool)]
    shown = table[table["strategy"].isin(results.main_strategies)]
    mechanisms = list(dict.fromkeys(results.tables["sweep"]["mechanism"]))
    n_rows = -(-len(mechanisms) // 2)
    figure, axes = drawing(n_rows, 2, height=1.9 * n_rows + 0.5, sharex=True, sharey=True)
    lines = lines_of(results.main_strategies, AUTO)
    for panel, mechanism in zip(axes, mechanisms, strict=False):
        panel.set_title(mechanism)
        for place, (strategy, line) in enumerate(lines.items()):
            points = shown[(shown["mechanism"] == mechanism) & (shown["strategy"] == strategy)].sort_values("rate")
            shift = 0.012 * (place - (len(lines) - 1) / 2)
            error_bars(panel, (points["rate"] + shift).tolist(), points, value, line, strategy)
    for panel in axes[len(mechanisms) :]:
        panel.set_visible(False)
    for panel in axes[max(0, len(mechanisms) - 2) : len(mechanisms)]:
        panel.set_xlabel("missing rate")
        panel.tick_params(labelbottom=True)
    for panel in axes[::2]:
        panel.set_ylabel(title)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    columns = ["mechanism", "rate", "strategy", "n", value, f"{value}_low", f"{value}_high"]
    data = table[[*columns, "n_not_predicted"] if "n_not_predicted" in table else columns]
    if disclosure.min_count > 1:
        data = data.drop(columns=["n", "n_not_predicted"], errors="ignore")
    return Chart(
        name=f"{value}_by_missing_rate",
        caption=f"{title[0].upper()}{title[1:]} against the missing rate; bars are 95 % intervals. Points stand side "
        "by side so that they can be told apart; all strategies are in the table behind the figure.",
        alternative=f"{len(mechanisms)} panels, one a missing pattern: {title} of {', '.join(lines)} falls or rises "
        "with the missing rate; the tables of this page hold the numbers.",
        drawing=figure,
        data=data,
        is_empty=not shown[value].notna().any(),
    )


def recoveries_compared(results: SweepResults, disclosure: Disclosure) -> list[Block]:
    """Tabulate the AUROC of the chosen policy by set of recoveries; nothing where there is one."""
    table = results.tables["sweep"]
    names = list(dict.fromkeys(table["recovery"]))
    if len(names) < 2:
        return []
    rows: list[list[str]] = []
    for mechanism, patterns in table[table["strategy"] == AUTO].groupby("mechanism", sort=False):
        rows.append([str(mechanism)])
        for rate, cells in patterns.groupby("rate"):
            own: Any = cells.set_index("recovery")
            texts = [
                withheld_or(
                    estimate(own.loc[name], "auroc"),
                    is_hidden=disclosure.hides(
                        own.loc[name, "n_positive"], own.loc[name, "n"] - own.loc[name, "n_positive"]
                    ),
                )
                for name in names
            ]
            rows.append([f"{rate:g}", *texts])
    note = "The selector chooses, per subject, among the recoveries of a set; 'all' lets them compete."
    return [Table(caption="AUROC of auto by recovery", header=["pattern and rate", *names], rows=rows, note=note)]


def references(results: SweepResults, disclosure: Disclosure) -> list[Block | Chart]:
    """Compare simpler models on the same split with the chosen policy, nothing hidden."""
    own = results.of_recovery("figures").query("strategy == @AUTO").drop(columns="recovery")
    table = pd.concat([results.tables["references"], own], ignore_index=True)
    table["strategy"] = [titled(name, results.cohort.schema) for name in table["strategy"]]
    shown = figures_table("Reference models on the same split, nothing hidden", table, disclosure, rows="strategy")
    return [
        shown,
        *_forest(table, disclosure, "strategy", "reference_models", "Reference models and auto, nothing hidden"),
    ]


def subgroups(results: SweepResults, disclosure: Disclosure) -> list[Block | Chart]:
    """Give the figures of the chosen policy by subgroup, nothing hidden."""
    table = _checked_groups(results.tables["subgroups"], disclosure)
    if table.empty:
        return [Text("The cohort has none of the columns that subgroups are made of.")]
    blocks: list[Block | Chart] = []
    withheld = []
    for variable, groups in table.groupby("variable", sort=False):
        title = titled(str(variable), results.cohort.schema)
        if groups["n"].isna().all():
            withheld.append(title)
        else:
            blocks.append(figures_table(f"By {title}", groups, disclosure, rows="group", figures=_SUBGROUP_FIGURES))
    if withheld:
        blocks.append(Text(f"Withheld for too few subjects of a class: {'; '.join(withheld)}."))
    titles = [titled(variable, results.cohort.schema) for variable in table["variable"]]
    named = table.assign(group=pd.Series(titles, index=table.index) + ": " + table["group"])
    return [*_forest(named, disclosure, "group", "subgroups", "AUROC of auto by subgroup, nothing hidden"), *blocks]


def _auroc_table(caption: str, results: SweepResults, disclosure: Disclosure, strategies: Sequence[str]) -> Table:
    rows: list[list[str]] = []
    for mechanism, patterns in results.of_recovery("sweep").groupby("mechanism", sort=False):
        rows.append([str(mechanism)])
        for rate, cells in patterns.groupby("rate"):
            first = cells.iloc[0]
            is_hidden = disclosure.hides(first["n_positive"], first["n"] - first["n_positive"])
            tells = is_hidden or disclosure.hides_sizes or disclosure.hides(first["n_not_predicted"])
            size = withheld_or(f"{first['n']} ({first['n_positive']})", is_hidden=tells)
            own: Any = cells.set_index("strategy")
            texts = [withheld_or(estimate(own.loc[name], "auroc"), is_hidden=is_hidden) for name in strategies]
            rows.append([f"{rate:g}", size, *texts])
    note = (
        "Rows: requested missing rate. Seeds are repeated draws for the same subjects, not more subjects; subjects of "
        "whom nothing was left are not predicted and left out of the row. " + INTERVALS
    )
    return Table(caption=caption, header=["pattern and rate", "n (events)", *strategies], rows=rows, note=note)


def _gain_table(results: SweepResults, disclosure: Disclosure) -> Table:
    rows: list[list[str]] = []
    for mechanism, patterns in results.of_recovery("sweep").groupby("mechanism", sort=False):
        rows.append([str(mechanism)])
        for rate, cells in patterns.groupby("rate"):
            own: Any = cells.set_index("strategy").loc[AUTO]
            is_hidden = disclosure.hides(own["n_positive"], own["n"] - own["n_positive"])
            rows.append([f"{rate:g}", *_gains(own, is_hidden=is_hidden)])
    return Table(
        caption="Gain in AUROC of auto, on the same subjects",
        header=["pattern and rate", "over discard", "p", "over fuse_all", "p"],
        rows=rows,
        note="p: paired DeLong test, adjusted over all rows by Holm's method.",
    )


def _cell(row: Any, name: str, disclosure: Disclosure, n_positive: float, *, is_hidden: bool) -> str:
    tells_count = name.startswith("sensitivity") and disclosure.hides_share(row["value"], n_positive)
    if str(row["reason"]).startswith("suppressed"):
        is_hidden = True
    return withheld_or(estimate(row), is_hidden=is_hidden or (tells_count and not pd.isna(row["value"])))


def _gains(row: Any, *, is_hidden: bool) -> list[str]:
    cells = []
    for reference in (Strategy.DISCARD, Strategy.FUSE_ALL):
        cells.append(withheld_or(estimate(row, f"over_{reference}", between=" "), is_hidden=is_hidden))
        cells.append(withheld_or(p_value(row[f"over_{reference}_p_holm"]), is_hidden=is_hidden))
    return cells


def _checked_groups(table: pd.DataFrame, disclosure: Disclosure) -> pd.DataFrame:
    """Suppress further groups where the page asks for larger counts than the table was made with."""
    parts = []
    for _, groups in table.groupby("variable", sort=False):
        sizes = groups.drop_duplicates("group").set_index("group")[["n", "n_positive"]]
        small = {
            name for name, row in sizes.iterrows() if disclosure.hides(row["n_positive"], row["n"] - row["n_positive"])
        }
        others = sizes["n"].drop(index=list(small)).dropna()
        if len(small) == 1 and len(others):
            small.add(others.idxmin())
        numbers = ["value", "low", "high", "n", "n_positive"]
        parts.append(groups.assign(**{name: groups[name].mask(groups["group"].isin(small)) for name in numbers}))
    return pd.concat(parts, ignore_index=True) if parts else table


def _forest(table: pd.DataFrame, disclosure: Disclosure, names: str, stem: str, caption: str) -> list[Chart]:
    """Draw the AUROC of every row with its interval; nothing where there is none."""
    areas = table[table["figure"] == "auroc"].rename(columns={"low": "value_low", "high": "value_high"})
    areas = areas[~disclosure.hides_classes(areas["n"], areas["n_positive"]) & areas["value"].notna()]
    if areas.empty:
        return []
    figure, (axes,) = drawing(1, 1, height=0.24 * max(len(areas), 2) + 0.7)
    for place, (_, row) in enumerate(areas.iterrows()):
        color = "#0072B2" if row[names] == AUTO or names == "group" else AXIS_INK
        ends = [[row["value"] - row["value_low"]], [row["value_high"] - row["value"]]]
        axes.errorbar([row["value"]], [-place], xerr=ends, marker="s", color=color, capsize=2, linewidth=1.2)
    axes.set_yticks([-place for place in range(len(areas))], labels=list(areas[names]))
    axes.axvline(0.5, color=AXIS_INK, linewidth=0.8, linestyle=":")
    axes.set(xlabel="AUROC (95 % interval)", ylim=(-len(areas) + 0.4, 0.6))
    axes.grid(visible=False, axis="y")
    spoken = "; ".join(f"{row[names]} {row['value']:.3f}" for _, row in areas.iterrows())
    data = areas[[names, "value", "value_low", "value_high"]].rename(
        columns=lambda name: name.replace("value", "auroc")
    )
    return [
        Chart(
            name=stem,
            caption=f"{caption}; dotted: chance.",
            alternative=f"AUROC: {spoken}.",
            drawing=figure,
            data=data,
        )
    ]
