"""A UK Biobank download as features, labels and images of pseudonymous subjects."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from dymo_med.data import cine
from dymo_med.data.ukbb.catalogue import DEFAULT_TIERS
from dymo_med.data.ukbb.catalogue_file import load_catalogue
from dymo_med.data.ukbb.features import FeatureReader
from dymo_med.data.ukbb.label_sets import load_labels
from dymo_med.data.ukbb.labels import STATUS, Timing, label_fields, read_labels
from dymo_med.data.ukbb.pseudonyms import Pseudonymizer
from dymo_med.data.ukbb.set_aside import SetAside
from dymo_med.data.ukbb.tables import read_tables, read_withdrawn
from dymo_med.tabular.schema import Column
from dymo_med.utils import SubjectError

__all__ = ["UKBBDownload", "read_download"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class UKBBDownload:
    """What a download holds, subject by subject, under pseudonyms.

    Subjects set aside are in none of the frames but ``set_aside``, those withdrawn in none at all. Subjects with an
    image but no row are in ``images`` alone, those with a row but no image not in ``images``.

    Args:
        features: (N, F), index ``subject_id``; categories as text, numbers as float64, missing where unknown.
        columns: Description of each column of ``features``, in the same order, without training statistics.
        labels: (N, L), same index, nullable Int8: 1 case, 0 control, missing where neither.
        images: Short-axis zip by pseudonym. The paths hold registry ids: do not write them down.
        set_aside: ``subject_id``, ``stage``, ``reason``, one row per subject.
        label_counts: Per label: ``positive``, ``negative``, ``after_scan``, ``undated``.
        feature_counts: Per feature: ``observed``, ``missing``, ``out_of_range`` (readings not counted).
        absent_features: Features of the chosen tiers of which no column is in the tables.
        n_withdrawn: Participants dropped because they have withdrawn.
    """

    features: pd.DataFrame
    columns: list[Column]
    labels: pd.DataFrame
    images: dict[str, Path] = field(repr=False)
    set_aside: pd.DataFrame
    label_counts: pd.DataFrame
    feature_counts: pd.DataFrame
    absent_features: tuple[str, ...]
    n_withdrawn: int


def read_download(
    tables: Sequence[Path],
    images: Path,
    *,
    key_file: Path,
    visit: int = 2,
    withdrawn: Path | None = None,
    features: Path | None = None,
    tiers: Collection[str] = DEFAULT_TIERS,
    names: Sequence[str] | None = None,
    labels: Sequence[str] = ("cad", "infarction"),
    timing: str = Timing.PREVALENT,
) -> UKBBDownload:
    """Read phenotype tables and index the short-axis cine images of a UK Biobank download.

    Args:
        tables: CSV, tab-separated or Parquet files in any of the registry's column dialects, coded values (RAW).
        images: Folder with the zips of field 20209, at any depth.
        key_file: Secret key of the pseudonyms; made if it does not exist. Keep it outside the cohort.
        visit: Visit of the scan, 2 for the first imaging visit, 3 for the repeat. Nothing later is read as a feature.
        withdrawn: List of participants who have withdrawn; they are dropped everywhere.
        features: Feature catalogue of your own; None for the one of this package.
        tiers: Tiers of features to take.
        names: Features to take instead, by name (those of a trained schema); one without a column is all missing.
        labels: Labels to make; none to predict only.
        timing: ``"prevalent"`` (default: evidence on or before the day of the scan) or ``"ever"``.

    Returns:
        Features, labels and images, and who was left out and why.

    Raises:
        FileNotFoundError: a table, the image folder or a list does not exist.
        ValueError: a table is empty, damaged, decoded, or lacks a field that a label needs; there are no images, or no
            participant has both a row and an image.
    """
    pseudonymizer = Pseudonymizer(key_file)
    gone = read_withdrawn(withdrawn, pseudonymizer) if withdrawn else set()
    aside = SetAside()
    zips = _index_images(Path(images), visit, pseudonymizer, aside)
    catalogue, label_catalogue = load_catalogue(features), load_labels()
    chosen = catalogue.select(tiers, names)
    wanted = label_fields(labels, label_catalogue).union(*(feature.sources for feature in chosen))
    everyone = read_tables(tables, wanted, pseudonymizer, aside)
    n_withdrawn = len(gone & (set(everyone.cells.index) | set(zips)))
    aside.forget(gone)
    table = everyone.without(gone | aside.subjects)
    _check_common(table.cells.index, zips)
    codings = load_catalogue().codings | catalogue.codings  # labels need codings that a user's catalogue may lack
    reader = FeatureReader(table, codings, visit=visit, aside=aside)
    kept = [feature for feature in chosen if names is not None or reader.has_source(feature)]
    frame = pd.DataFrame({feature.name: reader.read(feature) for feature in kept}, index=table.cells.index)
    made, status = read_labels(table, labels, label_catalogue, reader, visit=visit, timing=timing, aside=aside)
    good = ~table.cells.index.isin(list(aside.subjects))
    _check_left(int(good.sum()), aside)
    absent = tuple(feature.name for feature in chosen if feature not in kept)
    if absent:
        logger.warning("%d features have no column in the tables and are left out: %s", len(absent), ", ".join(absent))
    return UKBBDownload(
        features=frame[good],
        columns=[feature.column() for feature in kept],
        labels=made[good],
        images={subject: path for subject, path in zips.items() if subject not in gone | aside.subjects},
        set_aside=aside.frame(),
        label_counts=status[good]
        .apply(lambda column: column.value_counts())
        .reindex(list(STATUS))
        .T.fillna(0)
        .astype(int),
        feature_counts=_count_features(frame[good], reader),
        absent_features=absent,
        n_withdrawn=n_withdrawn,
    )


def _index_images(folder: Path, visit: int, pseudonymizer: Pseudonymizer, aside: SetAside) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no image folder {folder.name}: pass the folder with the zips of field 20209")
    found = cine.find_cine_zips(folder, visit)
    if not found:
        raise ValueError(
            f"image folder {folder.name} must hold short-axis zips (names end in _20209_{visit}_0.zip), however: "
            f"{len(found)} found: pass the folder of the bulk download, or another visit"
        )
    zips = {pseudonymizer(registry_id): paths for registry_id, paths in found.items()}
    for subject, paths in zips.items():
        if len(paths) > 1:
            where = f"the image folder, short axis, visit {visit}"
            aside.add(
                [subject], "image", SubjectError(f"{len(paths)} zips of one subject", where=where, remedy="keep one")
            )
    return {subject: paths[0] for subject, paths in sorted(zips.items())}


def _check_common(subjects: pd.Index, zips: dict[str, Path]) -> None:
    if not subjects.isin(list(zips)).any():
        raise ValueError(
            f"tables and images must share participants, however: none of {len(subjects)} rows has one of {len(zips)} "
            "images: take both from the same application, whose ids differ from those of all others"
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
