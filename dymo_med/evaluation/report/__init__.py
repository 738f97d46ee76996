"""Self-contained HTML pages: one file, no script, nothing loaded, fit for print; aggregates only."""

from dymo_med.evaluation.report.cohort_page import cohort_page, write_cohort_page
from dymo_med.evaluation.report.page import Bar, Facts, Figure, Page, Table, Text
from dymo_med.evaluation.report.suppression import suppress

__all__ = ["Bar", "Facts", "Figure", "Page", "Table", "Text", "cohort_page", "suppress", "write_cohort_page"]
