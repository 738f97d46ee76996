"""A UK Biobank download as features, labels and images of pseudonymous subjects."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dymo_med.data.ukbb.catalogue import DEFAULT_TIERS, Catalogue, Feature
from dymo_med.data.ukbb.catalogue_file import load_catalogue, load_published_catalogue
from dymo_med.data.ukbb.cells import read_numbers
from dymo_med.data.ukbb.dialects import Cell
from dymo_med.data.ukbb.evidence import SCAN_DATE_FIELD
from dymo_med.data.ukbb.features import FeatureReader
from dymo_med.data.ukbb.id_lists import read_bridge, read_relatives, read_withdrawn
from dymo_med.data.ukbb.images import ImageSource, index_images
from dymo_med.data.ukbb.label_file import load_labels
from dymo_med.data.ukbb.label_sets import LabelCatalogue
from dymo_med.data.ukbb.labels import STATUS, When, label_fields, label_ingredients, read_labels
from dymo_med.data.ukbb.pseudonyms import Pseudonymizer
from dymo_med.data.ukbb.set_aside import SetAside
from dymo_med.data.ukbb.tables import ParticipantTable, read_tables
from dymo_med.tabular.schema import Column
from dymo_med.utils import SubjectError

__all__ = ["UKBBDownload", "read_download", "read_images"]

logger = logging.getLogger(__name__)

_ETHNICITY_FIELD, _BRITISH = 21000, 1001
"""Ethnic background; the one code that the published cohort keeps ("British")."""


@dataclass(frozen=True, kw_only=True)
class UKBBDownload:
    """What a download holds, subject by subject, under pseudonyms.

    Subjects set aside are in none of the frames but ``set_aside``, those withdrawn in none at all. Subjects with an
    image but no row are in ``images`` alone, those with a row but no image not in ``images``.

    Args:
        features: (N, F), index ``subject_id``; categories as text, numbers as float64, missing where unknown.
        columns: Description of each column of ``features``, in the same order, without training statistics.
        labels: (N, L), same index, nullable Int8: 1 case, 0 control, missing where neither.
        images: Image by pseudonym. The paths hold registry ids: do not write them down.
        all_images: What :func:`read_images` gives: those of subjects whom the tables set aside too.
        set_aside: ``subject_id``, ``stage``, ``reason``, one row per subject.
        groups: Group of relatives by pseudonym, for those who have any.
        file_rows: Position of each row of ``features`` in the tables.
        label_definitions: Per label what counts as evidence, in words.
        label_counts: Per label the number of subjects of each status (``positive``, ``negative``, why neither).
        evidence: Per label and source of evidence: ``label``, ``source``, ``cases``, ``only_source``.
        feature_counts: Per feature: ``observed``, ``missing``, ``out_of_range`` (readings not counted).
        absent_features: Features of the chosen tiers of which no column is in the tables.
        refused_features: Features of the chosen tiers that would reveal a label, and are therefore left out.
        n_withdrawn: Participants dropped because they have withdrawn.
    """

    features: pd.DataFrame
    columns: list[Column]
    labels: pd.DataFrame
    images: dict[str, ImageSource] = field(repr=False)
    all_images: dict[str, ImageSource] = field(repr=False)
    set_aside: pd.DataFrame
    groups: pd.Series
    file_rows: pd.Series
    label_definitions: dict[str, str]
    label_counts: pd.DataFrame
    evidence: list[dict[str, object]]
    feature_counts: pd.DataFrame
    absent_features: tuple[str, ...]
    refused_features: tuple[str, ...]
    n_withdrawn: int

    def record(self) -> dict[str, Any]:
        """Give all counts as JSON can hold them, for the paper trail of a cohort."""
        return {
            "n_withdrawn": self.n_withdrawn,
            "label_definitions": self.label_definitions,
            "label_status": self.label_counts.to_dict("index"),
            "label_evidence": self.evidence,
            "features": self.feature_counts.to_dict("index"),
            "absent_features": list(self.absent_features),
            "refused_features": list(self.refused_features),
        }


def read_download(
    tables: Sequence[Path],
    images: Path,
    *,
    key_file: Path,
    visit: int = 2,
    nifti: str | None = None,
    bridge: Path | None = None,
    withdrawn: Sequence[Path] = (),
    relatives: Path | None = None,
    features: Path | None = None,
    tiers: Collection[str] = DEFAULT_TIERS,
    names: Sequence[str] | None = None,
    labels: Sequence[str] = ("cad", "infarction"),
    label_sets: Path | None = None,
    when: When | None = None,
    published: bool = False,
) -> UKBBDownload:
    """Read phenotype tables and index the short-axis cine images of a UK Biobank download.

    Participants without an image and without a date of the visit were not scanned; they are set aside.

    Args:
        tables: CSV, tab-separated or Parquet files in any of the registry's column dialects, coded values (RAW).
        images: Folder with the zips of field 20209, at any depth.
        key_file: Secret key of the pseudonyms; made if it does not exist. Keep it outside the cohort.
        visit: Visit of the scan, 2 for the first imaging visit, 3 for the repeat. Nothing later is read.
        nifti: Names of NIfTI files to take instead of zips, see :func:`dymo_med.data.ukbb.images.index_images`.
        bridge: Pairs of ids where tables and images come from two applications: that of the tables, that of the images.
        withdrawn: Lists of participants who have withdrawn; they are dropped everywhere. With a bridge, an id counts
            as one of either application.
        relatives: Pairs of relatives, to be kept in one split.
        features: Feature catalogue of your own; None for the one of this package.
        tiers: Tiers of features to take.
        names: Features to take instead, by name (those of a trained schema); one without a column is all missing.
        labels: Labels to make; none to predict only.
        label_sets: Label definitions of your own; None for those of this package.
        when: The time that counts for labels; None for evidence on or before the day of the scan.
        published: Read the published 75 features by their rules, of the participants whom the published cohort keeps,
            flaws included; ``features``, ``tiers`` and ``names`` then do not apply.

    Returns:
        Features, labels and images, and who was left out and why.

    Raises:
        FileNotFoundError: a table, the image folder or a list does not exist.
        ValueError: a table is empty, damaged, decoded, or lacks a field that a label needs; there are no images, or no
            participant has both a row and an image; a feature asked for by name would reveal a label.
    """
    when = when or When()
    pseudonymizer = Pseudonymizer(key_file)
    aside = SetAside()
    pairs = read_bridge(bridge) if bridge else None
    gone = _gone(read_withdrawn(withdrawn), pairs, pseudonymizer)
    found = index_images(images, visit, pseudonymizer, aside, nifti=nifti, bridge=pairs)
    all_images = {subject: source for subject, source in found.items() if subject not in gone | aside.subjects}
    catalogue = load_published_catalogue() if published else load_catalogue(features)
    definitions = load_labels(label_sets)
    measured = catalogue if published else load_catalogue()  # a catalogue of your own may lack what labels read
    chosen, refused = _choose(catalogue, definitions, labels, tiers, names, published=published)
    wanted = label_fields(labels, definitions, measured, visit)
    wanted |= {(_ETHNICITY_FIELD, 0)}.union(*(feature.reads(visit) for feature in chosen))
    everyone = read_tables(tables, wanted, pseudonymizer, aside)
    n_withdrawn = len(gone & {*everyone.subjects, *found})
    _check_common(everyone.subjects, found)
    if published:
        _set_unpublished_aside(everyone, found, aside)
    else:
        _set_unscanned_aside(everyone, found, visit, aside)
    aside.forget(gone)
    table = everyone.only(~everyone.subjects.isin(list(gone | aside.subjects)))
    del everyone
    codings = load_catalogue().codings | definitions.codings | catalogue.codings
    reader = FeatureReader(table, codings, visit=visit, aside=aside)
    kept = [feature for feature in chosen if published or names is not None or reader.has_source(feature)]
    frame = pd.DataFrame({feature.name: reader.read(feature) for feature in kept}, index=table.subjects)
    made = read_labels(table, labels, definitions, measured, reader, visit=visit, when=when, aside=aside)
    good = ~table.subjects.isin(list(aside.subjects))
    _check_left(int(good.sum()), aside)
    absent = tuple(feature.name for feature in chosen if feature not in kept)
    _log_left_out(absent, "have no column in the tables")
    _log_left_out(refused, "would reveal a label")
    out = gone | aside.subjects
    counts = made.status[good].apply(lambda column: column.value_counts()).reindex(list(STATUS)).T
    return UKBBDownload(
        features=frame[good],
        columns=[feature.column() for feature in kept],
        labels=made.values[good],
        images={subject: source for subject, source in found.items() if subject not in out},
        all_images=all_images,
        set_aside=aside.frame(),
        groups=read_relatives(relatives, pseudonymizer) if relatives else pd.Series(dtype="str"),
        file_rows=pd.Series(table.file_rows, index=table.subjects)[good],
        label_definitions={name: definitions.get(name).describe() for name in labels},
        label_counts=counts.fillna(0).astype(int),
        evidence=made.evidence(good),
        feature_counts=_count_features(frame[good], reader),
        absent_features=absent,
        refused_features=refused,
        n_withdrawn=n_withdrawn,
    )


def read_images(
    images: Path,
    *,
    key_file: Path,
    visit: int = 2,
    nifti: str | None = None,
    bridge: Path | None = None,
    withdrawn: Sequence[Path] = (),
) -> dict[str, ImageSource]:
    """Index the images of a download without its tables, as a shard needs them.

    Args:
        images: Folder with the images, at any depth.
        key_file: Secret key of the pseudonyms.
        visit: Visit of the scan.
        nifti: Names of NIfTI files to take instead of zips.
        bridge: Pairs of ids where tables and images come from two applications.
        withdrawn: Lists of participants who have withdrawn; theirs are left out.

    Returns:
        Image by pseudonym, of those who have exactly one. The paths hold registry ids: do not write them down.

    Raises:
        FileNotFoundError: the folder or a list does not exist.
        ValueError: there are no images, or a list is malformed.
    """
    pseudonymizer, aside = Pseudonymizer(key_file), SetAside()
    pairs = read_bridge(bridge) if bridge else None
    found = index_images(images, visit, pseudonymizer, aside, nifti=nifti, bridge=pairs)
    out = aside.subjects | _gone(read_withdrawn(withdrawn), pairs, pseudonymizer)
    return {subject: source for subject, source in found.items() if subject not in out}


def _gone(ids: set[str], bridge: dict[str, str] | None, pseudonymizer: Pseudonymizer) -> set[str]:
    """Give the pseudonyms of those who have withdrawn, whichever application their id is of."""
    if bridge is None:
        return {pseudonymizer(registry_id) for registry_id in ids}
    others = {bridge[registry_id] for registry_id in ids if registry_id in bridge}
    return {pseudonymizer(registry_id) for registry_id in ids | others | {f"image {known}" for known in ids}}


def _choose(
    catalogue: Catalogue,
    definitions: LabelCatalogue,
    labels: Sequence[str],
    tiers: Collection[str],
    names: Sequence[str] | None,
    *,
    published: bool,
) -> tuple[tuple[Feature, ...], tuple[str, ...]]:
    """Choose the features, and name those that one of the labels rules out."""
    if published:
        return catalogue.published(), ()
    chosen = catalogue.select(tiers, names)
    ingredients = label_ingredients(labels, definitions, load_catalogue())
    refused = tuple(feature.name for feature in chosen if ingredients.revealed_by(feature))
    if refused and names is not None:
        raise ValueError(
            f"features that would reveal one of the labels {list(labels)} cannot be inputs, however: {list(refused)}: "
            "leave them out or choose other labels"
        )
    return tuple(feature for feature in chosen if feature.name not in refused), refused


def _set_unscanned_aside(table: ParticipantTable, images: Collection[str], visit: int, aside: SetAside) -> None:
    scan_date = Cell(SCAN_DATE_FIELD, visit, 0)
    if scan_date not in table:
        return
    without = table.is_blank(scan_date) & ~table.subjects.isin(list(images))
    error = SubjectError(
        "no image and no date of the visit", where=f"field {SCAN_DATE_FIELD}, visit {visit}", remedy="not scanned"
    )
    aside.add(table.subjects[without], "visit", error)


def _set_unpublished_aside(table: ParticipantTable, images: Collection[str], aside: SetAside) -> None:
    cell = Cell(_ETHNICITY_FIELD, 0, 0)
    if cell not in table:
        raise ValueError(
            f"the published cohort keeps participants by field {_ETHNICITY_FIELD}, which is in none of the tables "
            f"(visit 0, among {len(table.columns)} columns read): export it, or prepare a cohort without "
            "'--compat reference'"
        )
    others = read_numbers(table, cell, aside) != _BRITISH
    place = f"field {_ETHNICITY_FIELD}, visit 0"
    _leave_out(table.subjects[others], f"no code {_BRITISH}", place, aside)
    _leave_out(table.subjects[~table.subjects.isin(list(images))], "no image", "the image folder", aside)
    rows = set(table.subjects)
    _leave_out([subject for subject in images if subject not in rows], "no row", "the tables", aside)


def _leave_out(subjects: Any, problem: str, where: str, aside: SetAside) -> None:
    error = SubjectError(problem, where=where, remedy="not part of the published cohort")
    aside.add(subjects, "cohort", error)


def _check_common(subjects: pd.Index, images: Collection[str]) -> None:
    if not subjects.isin(list(images)).any():
        raise ValueError(
            f"tables and images must share participants, however: none of {len(subjects)} rows has one of "
            f"{len(images)} images: take both from the same application, whose ids differ from those of all others, or "
            "pass the bridge between the two"
        )


def _check_left(n_left: int, aside: SetAside) -> None:
    if n_left == 0:
        reasons = aside.frame()["reason"].value_counts()
        raise ValueError(
            f"all {int(reasons.sum())} participants are set aside, "
            f"{reasons.iloc[0]} of them for this reason: {reasons.index[0]}"
        )


def _count_features(frame: pd.DataFrame, reader: FeatureReader) -> pd.DataFrame:
    observed = frame.notna().sum()
    outside = pd.Series(reader.out_of_range, dtype="int64").reindex(frame.columns, fill_value=0)
    return pd.DataFrame({"observed": observed, "missing": len(frame) - observed, "out_of_range": outside})


def _log_left_out(names: Sequence[str], why: str) -> None:
    if names:
        logger.warning("%d features %s and are left out: %s", len(names), why, ", ".join(names))
