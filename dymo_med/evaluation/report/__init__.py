"""Self-contained HTML pages: one file, no script, nothing loaded, fit for print."""

from dymo_med.evaluation.report.case_values import write_cases
from dymo_med.evaluation.report.cohort_page import cohort_page, write_cohort_page
from dymo_med.evaluation.report.page import Bar, Facts, Figure, Heading, Page, Table, Text
from dymo_med.evaluation.report.suppression import suppress
from dymo_med.evaluation.report.sweep_page import write_report
from dymo_med.evaluation.report.sweep_results import SweepResults

__all__ = [
    "Bar",
    "Facts",
    "Figure",
    "Heading",
    "Page",
    "SweepResults",
    "Table",
    "Text",
    "cohort_page",
    "suppress",
    "write_cases",
    "write_cohort_page",
    "write_report",
]
