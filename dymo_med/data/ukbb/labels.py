"""Labels from all evidence of a disease, with their time relative to the scan and the end of follow-up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dymo_med.data.ukbb.catalogue import Catalogue
from dymo_med.data.ukbb.evidence import SCAN_DATE_FIELD, EvidenceReader
from dymo_med.data.ukbb.features import FeatureReader
from dymo_med.data.ukbb.label_sets import ICD10_DATE_FIELD, ICD10_FIELD, Ingredients, LabelCatalogue, LabelSet
from dymo_med.data.ukbb.set_aside import SetAside
from dymo_med.data.ukbb.tables import ParticipantTable
from dymo_med.utils import as_choice, check_positive

__all__ = [
    "DEATH_FIELD",
    "LOST_FIELD",
    "STATUS",
    "Labels",
    "Timing",
    "When",
    "label_fields",
    "label_ingredients",
    "read_labels",
]

STATUS = ("positive", "negative", "prevalent", "undated", "after_scan", "censored", "no_scan_date", "unmeasured")
"""Case; control; or why neither: had the disease at the scan already; evidence has no known date; first evidence is
later than the scan; not followed up to the end of the time that counts; no date of the scan; a reading that the label
needs is missing."""
POSITIVE, NEGATIVE, PREVALENT, UNDATED, AFTER_SCAN, CENSORED, NO_SCAN_DATE, UNMEASURED = STATUS

DEATH_FIELD = 40000
"""Date of death."""
LOST_FIELD = 191
"""Date of loss to follow-up: left the country, record lost, consent to linkage withdrawn."""

_DAYS_PER_YEAR = 365.25
_N_INSTANCES = 4


class Timing(StrEnum):
    """When the evidence of a disease must be dated.

    ``PREVALENT``: on or before the day of the scan; subjects whose only evidence is later, or has no known date, are
    neither cases nor controls. ``INCIDENT``: within N years after the scan, in subjects free of the disease at the scan
    who were followed up that long. ``EVER``: at any time, which mixes diagnosis and prediction.
    """

    PREVALENT = "prevalent"
    INCIDENT = "incident"
    EVER = "ever"


@dataclass(frozen=True, kw_only=True)
class When:
    """The time that counts for a label.

    Args:
        timing: ``"prevalent"``, ``"incident"`` or ``"ever"``.
        within_years: Length of the time after the scan; for incident disease, and needed there.
        linkage_end: Last day that the hospital records cover; needed for incident disease. Of several countries or
            releases take the earliest.

    Raises:
        ValueError: a value is missing, or given where it has no meaning.

    Example:
        >>> When(timing="incident", within_years=5, linkage_end=date(2022, 10, 31)).days
        1826.25
    """

    timing: str = Timing.PREVALENT
    within_years: float | None = None
    linkage_end: date | None = None

    def __post_init__(self) -> None:
        is_incident = as_choice("timing", self.timing, Timing) is Timing.INCIDENT
        if is_incident != (self.within_years is not None):
            raise ValueError(
                f"within_years is the length of timing 'incident' alone, however: timing={str(self.timing)!r} with "
                f"within_years={self.within_years!r}: give both or neither"
            )
        if self.within_years is not None:
            check_positive("within_years", self.within_years)
        if is_incident and self.linkage_end is None:
            raise ValueError(
                f"timing 'incident' needs the last day of the hospital records, however: linkage_end="
                f"{self.linkage_end}: without it people who were not followed up would count as healthy"
            )

    @property
    def days(self) -> float:
        """Days after the scan that count."""
        return (self.within_years or 0) * _DAYS_PER_YEAR


@dataclass(frozen=True)
class Labels:
    """What :func:`read_labels` gives.

    Args:
        values: (N, L) nullable Int8, index ``subject_id``: 1 case, 0 control, missing for neither.
        status: (N, L) why, one of :data:`STATUS`.
        sources: Per label and source of evidence (N,) True where the subject is a case with such evidence that counts.
    """

    values: pd.DataFrame
    status: pd.DataFrame
    sources: dict[str, dict[str, NDArray[np.bool_]]]

    def evidence(self, subjects: NDArray[np.bool_]) -> list[dict[str, object]]:
        """Count the cases of each source among these rows: ``label``, ``source``, ``cases``, ``only_source``."""
        rows: list[dict[str, object]] = []
        for label, sources in self.sources.items():
            n_sources = np.sum([np.zeros(len(subjects), dtype=np.int64), *sources.values()], axis=0)
            for source, cases in sources.items():
                only = int((cases & (n_sources == 1) & subjects).sum())
                rows.append(
                    {"label": label, "source": source, "cases": int((cases & subjects).sum()), "only_source": only}
                )
        return rows


def label_fields(names: Sequence[str], labels: LabelCatalogue, features: Catalogue, visit: int) -> set[tuple[int, int]]:
    """Give all registry fields, each with a visit, that the labels read where the scan was at a visit."""
    read = {(SCAN_DATE_FIELD, visit)}
    for item in (labels.get(name) for name in names):
        # What hospitals and registries report is stored under visits that are none.
        records = (ICD10_FIELD, ICD10_DATE_FIELD, DEATH_FIELD, LOST_FIELD, *item.date_fields)
        read |= {(place, instance) for place in records for instance in range(_N_INSTANCES)}
        read |= {(entry.field, earlier) for entry in item.self_report for earlier in entry.visits(visit)}
        read |= {pair for name in _measured_by(item) for pair in features.named(name).reads(visit)}
    return read


def label_ingredients(names: Sequence[str], labels: LabelCatalogue, features: Catalogue) -> Ingredients:
    """Give what may not be an input of a model of any of the labels: their evidence and what tells it."""
    made = labels.ingredients(names)
    for item in (labels.get(name) for name in names):
        for measured in _measured_by(item):
            made |= Ingredients(dict.fromkeys(features.named(measured).fields))
    return made


def read_labels(
    table: ParticipantTable,
    names: Sequence[str],
    catalogue: LabelCatalogue,
    features: Catalogue,
    reader: FeatureReader,
    *,
    visit: int,
    when: When,
    aside: SetAside,
) -> Labels:
    """Label all participants.

    A subject without any evidence is a control, also without any hospital record: the registry does not tell "never in
    hospital" from "not linked". Self-report has no date; it counts as before the scan if given at the scan or earlier,
    and not at all if given later.

    Args:
        table: Raw cells.
        names: Labels to make.
        catalogue: Their definitions.
        features: Features that they name as measured evidence.
        reader: Reads answers and dates of the same table.
        visit: Visit of the scan.
        when: The time that counts.
        aside: Receives subjects with a cell that cannot be read.

    Raises:
        ValueError: a field that a label needs is in none of the tables, or holds decoded text.

    Source: fields 41270, 41280 (hospital diagnoses and first dates), 42000 (algorithmic outcome), 6150, 53, 40000, 191.
    """
    status = pd.DataFrame(index=table.subjects, columns=list(names), dtype="str")
    sources: dict[str, dict[str, NDArray[np.bool_]]] = {}
    if names:
        sets = [catalogue.get(name) for name in names]
        for item in sets:
            _check_fields(table, item, features, visit, when)
        evidence = EvidenceReader(table, catalogue, features, reader, visit=visit, aside=aside)
        followed = _followed_days(table, reader, evidence.scan_date, when)
        for item in sets:
            events = evidence.of(item)
            counts = _counting(events, evidence.scan_date, when)
            status[item.name] = _status(events, counts, evidence, followed, item, when)
            cases = (status[item.name] == POSITIVE).to_numpy()
            by_source = events[counts].groupby("source", sort=True)
            sources[item.name] = {str(source): cases & _mask(part, len(table)) for source, part in by_source}
    values = status.apply(lambda column: column.map({POSITIVE: 1, NEGATIVE: 0})).astype("Int8")
    return Labels(values, status, sources)


def _counting(events: pd.DataFrame, scan_date: NDArray[np.datetime64], when: When) -> NDArray[np.bool_]:
    """Tell which events make a case."""
    if when.timing == Timing.EVER:
        return np.ones(len(events), dtype=bool)
    if when.timing == Timing.PREVALENT:
        return events["before"].to_numpy(bool)
    scan = scan_date[events["row"].to_numpy(np.int64)]
    days = (events["date"].to_numpy() - scan) / np.timedelta64(1, "D")
    in_time: NDArray[np.bool_] = events["after"].to_numpy(bool) & (days <= when.days)
    return in_time


def _status(
    events: pd.DataFrame,
    counts: NDArray[np.bool_],
    evidence: EvidenceReader,
    followed: NDArray[np.float64],
    item: LabelSet,
    when: When,
) -> NDArray[np.str_]:
    n_subjects = len(followed)
    before, after = (_mask(events[events[side]], n_subjects) for side in ("before", "after"))
    undated = _mask(events[~events["before"] & ~events["after"]], n_subjects)
    positive = _mask(events[counts], n_subjects)
    no_scan_date = np.isnat(evidence.scan_date)
    unmeasured, censored = evidence.unmeasured(item), followed < when.days
    rules: dict[str, list[tuple[NDArray[np.bool_], str]]] = {
        Timing.EVER: [(positive, POSITIVE), (unmeasured, UNMEASURED)],
        Timing.PREVALENT: [
            (positive, POSITIVE),
            (undated, UNDATED),
            (no_scan_date, NO_SCAN_DATE),
            (after, AFTER_SCAN),
            (unmeasured, UNMEASURED),
            (censored, CENSORED),
        ],
        Timing.INCIDENT: [
            (before, PREVALENT),
            (undated, UNDATED),
            (no_scan_date, NO_SCAN_DATE),
            (unmeasured, UNMEASURED),
            (positive, POSITIVE),
            (censored, CENSORED),
        ],
    }
    conditions, outcomes = zip(*rules[when.timing], strict=True)
    return np.select(conditions, outcomes, default=NEGATIVE)


def _followed_days(
    table: ParticipantTable, reader: FeatureReader, scan_date: NDArray[np.datetime64], when: When
) -> NDArray[np.float64]:
    """Give the days from the scan to death, loss or the end of the records; infinite where none is known."""
    ends = [reader.dates(cell).to_numpy() for field in (DEATH_FIELD, LOST_FIELD) for cell in table.places(field)]
    if when.linkage_end is not None:
        ends.append(np.full(len(table), np.datetime64(when.linkage_end)))
    days = [(end - scan_date) / np.timedelta64(1, "D") for end in ends]
    followed = np.full(len(table), np.inf)
    for part in days:
        followed = np.fmin(followed, part)
    return followed


def _mask(events: pd.DataFrame, n_subjects: int) -> NDArray[np.bool_]:
    found = np.zeros(n_subjects, dtype=bool)
    found[events["row"].to_numpy(np.int64)] = True
    return found


def _measured_by(item: LabelSet) -> list[str]:
    return list(item.measured.limits) if item.measured else []


def _check_fields(table: ParticipantTable, item: LabelSet, features: Catalogue, visit: int, when: When) -> None:
    absent = sorted(field for field in item.fields if not table.places(field))
    for name in _measured_by(item):
        fields = features.named(name).fields
        absent += [] if any(table.places(field, [visit]) for field in fields) else [fields[0]]
    if when.timing != Timing.EVER:
        absent += [] if table.places(ICD10_DATE_FIELD) or not item.codes | set(item.prefixes) else [ICD10_DATE_FIELD]
        absent += [] if table.places(SCAN_DATE_FIELD, [visit]) else [SCAN_DATE_FIELD]
    if when.timing == Timing.INCIDENT:
        absent += [field for field in (DEATH_FIELD, LOST_FIELD) if not table.places(field)]
    if absent:
        raise ValueError(
            f"label {item.name!r} with timing {str(when.timing)!r} reads the fields {sorted(absent)}, which are in "
            f"none of the tables (field {SCAN_DATE_FIELD} at visit {visit}): export them, choose another label or "
            "timing, or pass no labels to predict only"
        )
