"""The report of a sweep: one page, its figures as files, and a form that holds aggregates only."""

from collections.abc import Sequence
from pathlib import Path

from dymo_med.data.cohort import Cohort
from dymo_med.evaluation.report.case_pages import case_blocks
from dymo_med.evaluation.report.charts import Chart, house_style
from dymo_med.evaluation.report.cohort_flow import availability, flow_blocks
from dymo_med.evaluation.report.cohort_labels import label_blocks
from dymo_med.evaluation.report.cohort_page import MIN_COUNT, cohort_groups, cohort_tables
from dymo_med.evaluation.report.disclosing import disclosure_for
from dymo_med.evaluation.report.glossary import glossary
from dymo_med.evaluation.report.page import Block, Page, Table, Text
from dymo_med.evaluation.report.performance import (
    by_pattern,
    figures_table,
    recoveries_compared,
    references,
    subgroups,
    sweep_chart,
)
from dymo_med.evaluation.report.risks import calibration_blocks, decision_blocks
from dymo_med.evaluation.report.selection_groups import selection_group_blocks
from dymo_med.evaluation.report.selection_pages import selection_blocks
from dymo_med.evaluation.report.summary import provenance_facts, summary_blocks
from dymo_med.evaluation.report.suppression import HIDDEN
from dymo_med.evaluation.report.sweep_results import SweepResults
from dymo_med.evaluation.report.tripod import tripod_table
from dymo_med.evaluation.report.wording import Disclosure
from dymo_med.utils import write_text

__all__ = ["FIGURES_FOLDER", "MAX_BYTES", "write_report"]

FIGURES_FOLDER = "figures"
"""Beside the page: every figure as SVG and PDF, with the table behind it as CSV."""
MAX_BYTES = 3_000_000
"""Largest page: what mail and trackers still take."""


def write_report(
    sweep_dir: str | Path,
    cohort_dir: str | Path,
    path: str | Path,
    *,
    model_dir: str | Path | None = None,
    is_export: bool = False,
    min_count: int = MIN_COUNT,
) -> Path:
    """Write the report of a sweep over test subjects, and its figures as files beside it.

    The same input gives the same bytes. The export form has no single cases, and counts from 1 to ``min_count - 1`` are
    hidden, with those that would tell them; it is the only form for places outside the one where the cohort is.

    Args:
        sweep_dir: Folder ``eval/sweep`` of a bundle.
        cohort_dir: Cohort that was swept.
        path: HTML file to write; figures go to the folder ``figures`` beside it.
        model_dir: Folder of the weights; None for ``models`` of the same bundle.
        is_export: Aggregates only, small counts hidden.
        min_count: Smallest count to show in the export form.

    Returns:
        The file.

    Raises:
        ValueError: the sweep is of another cohort, the page is too large, or ``min_count`` is not a positive integer.
        FileNotFoundError: the sweep is not finished.
        OSError: a file cannot be written.
    """
    folder = Path(sweep_dir)
    models = folder.parent.parent / "models" if model_dir is None else Path(model_dir)
    results = SweepResults(folder, Cohort(cohort_dir), models)
    disclosure = disclosure_for(results, min_count if is_export else 1)
    with house_style():
        page, charts = _assemble(results, disclosure, has_cases=not is_export)
    text = page.html()
    size = len(text.encode("utf-8"))
    if size >= MAX_BYTES:
        raise ValueError(
            f"a report must be smaller than {MAX_BYTES:,} bytes, however: {size:,} bytes: sweep fewer rates or "
            "mechanisms, or write the export form"
        )
    path = Path(path)
    for chart in charts:
        chart.write(path.parent / FIGURES_FOLDER)
    write_text(path, text)
    return path


def _assemble(results: SweepResults, disclosure: Disclosure, *, has_cases: bool) -> tuple[Page, list[Chart]]:
    cohort, min_count = results.cohort, disclosure.min_count
    is_simulated = cohort.data_kind == "simulated"
    form = (
        "It holds subject-level data and stays where the cohort is."
        if has_cases
        else f"Export form: aggregates only; counts of 1 to {min_count - 1} and what would tell them are withheld."
    )
    page = Page(
        title=f"Report: {results.outcome}",
        lead=f"Evaluation on test subjects under missing data. Data: {cohort.data_kind}. {form}",
        banner="Simulated data: these figures say nothing about patients." if is_simulated else "",
    )
    charts: list[Chart] = []

    def add(heading: str, blocks: Sequence[Block | Chart]) -> None:
        charts.extend(block for block in blocks if isinstance(block, Chart) and not block.is_empty)
        page.add(heading, *(block.block() if isinstance(block, Chart) else _told(block) for block in blocks))

    groups = cohort_groups(cohort, min_count)
    available = availability(cohort)
    add("Summary", summary_blocks(results, disclosure))
    add("Words", [glossary(results)])
    add("Flow of subjects", flow_blocks(cohort, groups, available))
    by_split, *by_label = cohort_tables(cohort, groups, available)
    add("Table 1", [by_split, by_label[cohort.tasks.index(results.task)]])
    add("Labels", label_blocks(cohort.source, min_count))
    natural = figures_table(
        "Figures of merit, nothing hidden",
        results.of_recovery("figures").query("strategy in @results.main_strategies"),
        disclosure,
        rows="strategy",
    )
    add("Discrimination", [natural, *by_pattern(results, disclosure), *recoveries_compared(results, disclosure)])
    add("Missing rates", [sweep_chart(results, disclosure, "sweep", "auroc", "AUROC")])
    add("Calibration", calibration_blocks(results, disclosure))
    add("Decisions", decision_blocks(results, disclosure))
    add("Selection", [*selection_blocks(results, disclosure), *selection_group_blocks(results, disclosure)])
    if has_cases:
        add("Single cases", case_blocks(results))
    add("Subgroups", subgroups(results, disclosure))
    add("Reference models", references(results, disclosure))
    add("TRIPOD+AI", [Text(_TRIPOD), tripod_table()])
    add("Provenance", [provenance_facts(results)])
    return page, charts


def _told(block: Block) -> Block:
    """Give one line in place of a table that withholds everything."""
    if isinstance(block, Table):
        cells = {str(cell) for row in block.rows for cell in row[1:]}
        if HIDDEN in cells and cells <= {HIDDEN, "–", ""}:
            return Text(f"{block.caption}: withheld, for too few subjects.")
    return block


_TRIPOD = (
    "What software can tell is in this report; the rest is for the authors. Item 27a, poor or unavailable input, is "
    "what this method is about."
)
