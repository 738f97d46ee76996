"""Self-contained HTML pages: one file, no script, nothing loaded, fit for print.

The report of a sweep is in :mod:`~dymo_med.evaluation.report.sweep_page`: it loads networks, which the page of a cohort
does without.
"""

from dymo_med.evaluation.report.cohort_page import cohort_page, write_cohort_page
from dymo_med.evaluation.report.page import Bar, Facts, Figure, Heading, Page, Table, Text
from dymo_med.evaluation.report.suppression import suppress

__all__ = [
    "Bar",
    "Facts",
    "Figure",
    "Heading",
    "Page",
    "Table",
    "Text",
    "cohort_page",
    "suppress",
    "write_cohort_page",
]
