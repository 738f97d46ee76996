"""Items of TRIPOD+AI: those that software can fill in, and those that authors must write."""

from dymo_med.evaluation.report.page import Table

__all__ = ["tripod_table"]

_SOFTWARE = "report"
_AUTHORS = "authors"
_ITEMS = (
    ("1, 2", "Title and abstract", _AUTHORS, ""),
    ("3a to 3c", "Background: context, target population, known inequalities", _AUTHORS, ""),
    ("4", "Objectives", _AUTHORS, ""),
    ("5a, 5b", "Sources of data and their dates", _SOFTWARE, "Flow of subjects, Provenance; dates: authors"),
    ("6a, 6b", "Setting, eligibility", _SOFTWARE, "Flow of subjects (reasons for leaving out); setting: authors"),
    ("6c", "Treatments received", _AUTHORS, ""),
    ("7", "Data preparation", _SOFTWARE, "Flow of subjects, Provenance (digests of cohort and schema)"),
    ("8a to 8c", "Outcome: definition, assessment", _SOFTWARE, "Labels; assessors and blinding: authors"),
    ("9a to 9c", "Predictors: choice, definition, measurement", _SOFTWARE, "Table 1 lists them; the choice: authors"),
    ("10", "Sample size", _SOFTWARE, "Numbers and events of every table; their justification: authors"),
    ("11", "Missing data", _SOFTWARE, "Table 1, Missing rates, Selection; assumed mechanism: authors"),
    ("12a to 12g", "Analysis", _SOFTWARE, "Provenance, notes below each table; rationale: authors"),
    ("13", "Class imbalance", _SOFTWARE, "Calibration (before and after)"),
    ("14", "Fairness", _SOFTWARE, "Subgroups; the approach and its reasons: authors"),
    ("15", "Output of the model", _SOFTWARE, "Calibration, Decisions"),
    ("16", "Training and evaluation data, differences", _SOFTWARE, "Table 1 by split"),
    ("17", "Ethical approval", _AUTHORS, ""),
    (
        "18a to 18f",
        "Funding, interests, protocol, registration, data, code",
        _AUTHORS,
        "commit and digests: Provenance",
    ),
    ("19", "Involvement of patients and the public", _AUTHORS, ""),
    ("20a to 20c", "Participants: flow and characteristics", _SOFTWARE, "Flow of subjects, Table 1"),
    ("21", "Participants and events in each analysis", _SOFTWARE, "column n (events) of every table"),
    ("22", "Full model", _SOFTWARE, "Provenance (digest of the weights); access to them: authors"),
    ("23a, 23b", "Performance with intervals, heterogeneity", _SOFTWARE, "Discrimination, Calibration, Subgroups"),
    ("24", "Model updating", _SOFTWARE, "Calibration (fitted on validation subjects)"),
    ("25", "Interpretation", _AUTHORS, ""),
    ("26", "Limitations", _AUTHORS, ""),
    ("27a", "Poor quality or unavailable input", _SOFTWARE, "Missing rates, Selection: what is done, and its price"),
    ("27b, 27c", "Use by whom, next steps", _AUTHORS, ""),
)


def tripod_table() -> Table:
    """List the items, with where the page answers them.

    Source:
        Collins et al., TRIPOD+AI statement, BMJ 2024;385:e078378.

    Example:
        >>> [row[2] for row in tripod_table().rows if row[0].startswith("27a")]
        ['report']
    """
    return Table(
        caption="TRIPOD+AI, item by item",
        header=["item", "about", "by", "where"],
        rows=[list(item) for item in _ITEMS],
        note="'Report' means that facts are given here, not that an item is fulfilled: that is for the authors to "
        "judge. Titles are shortened; the statement is BMJ 2024;385:e078378.",
        is_text=True,
    )
