"""A simulated UK Biobank download: table, archives of cines, and the truth behind both."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np

from dymo_med.data.synthetic.acquisition import PhantomImageSize, draw_pose
from dymo_med.data.synthetic.archive import CineScan, archive_path, write_archive
from dymo_med.data.synthetic.faults import PhantomFault, assign_faults
from dymo_med.data.synthetic.heart import Heart, draw_heart
from dymo_med.data.synthetic.person import Person, draw_person
from dymo_med.data.synthetic.records import Cell
from dymo_med.data.synthetic.rendering import render_cine
from dymo_med.data.synthetic.table import table_row
from dymo_med.utils import atomic_path, check_fraction, check_positive_int, write_text

__all__ = ["PhantomSummary", "write_phantom_download"]

_FIRST_SIMULATED_ID, _LAST_SIMULATED_ID = 9_000_000, 9_999_999
_DEMONSTRATION_SIZE = PhantomImageSize()
_INLINE_VF_RATE = 0.2
_TABLE_FILE, _TRUTH_FILE, _IMAGE_FOLDER = "participants.csv", "truth.csv", "imaging"
_README = """\
SIMULATED DATA. NO PARTICIPANT, NO PATIENT.

Everything in this folder was drawn by a random generator (dymo_med, write_phantom_download) in the file forms in which
UK Biobank hands out short-axis cine MRI (field 20209) and its main table, so that software can be tried without access
to the registry. Participant ids start with 9 and lie outside the registry's range.

Anatomy, measurements, diseases and their relations were invented to be plausible. They support no claim about patients,
about UK Biobank or about how well a method works on real data. Coronary disease and infarction are made more frequent
than in the registry, because a simulated cohort is small: {boost:g} times (coronary disease {cad:.0%}, infarction
{infarction:.0%} of these {n_subjects} subjects).

participants.csv  main table, classic column names (field-visit.array), codes not decoded
imaging/          one zip per participant: DICOM objects with opaque names, manifest.cvs
truth.csv         what was simulated, for tests and figures only; no model may read it

Seed {seed}, {n_slices} slices x {n_frames} frames x {rows} rows x {columns} columns.
"""


@dataclass(frozen=True, kw_only=True)
class PhantomSummary:
    """What :func:`write_phantom_download` wrote.

    Args:
        folder: The download.
        table: Main table, ``participants.csv``.
        images: Folder of the archives.
        truth: Table of what was simulated, ``truth.csv``.
        n_subjects: Simulated subjects.
        n_rows: Rows of the main table.
        n_images: Archives.
        n_cad: Subjects with coronary disease at the scan.
        n_infarction: Subjects with an infarction before the scan.
        n_faults: Subjects with a fault.

    Example:
        >>> here = Path(".")
        >>> PhantomSummary(folder=here, table=here, images=here, truth=here, n_subjects=3, n_rows=3, n_images=2,
        ...                n_cad=1, n_infarction=0, n_faults=0).n_images
        2
    """

    folder: Path
    table: Path
    images: Path
    truth: Path
    n_subjects: int
    n_rows: int
    n_images: int
    n_cad: int
    n_infarction: int
    n_faults: int


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """All that decides one subject, so that any process gives the same bytes."""

    folder: Path
    index: int
    eid: int
    seed: int
    image: PhantomImageSize
    fault: PhantomFault | None
    table_absent_rate: float
    image_absent_rate: float
    gap_scale: float
    prevalence_boost: float


@dataclass(frozen=True)
class _Record:
    """Rows of one subject: those of the main table (none, one or two) and the one of the truth."""

    rows: tuple[dict[str, Cell], ...]
    truth: dict[str, Cell]


def write_phantom_download(
    folder: str | Path,
    *,
    n_subjects: int,
    seed: int,
    first_id: int = _FIRST_SIMULATED_ID,
    image: PhantomImageSize = _DEMONSTRATION_SIZE,
    faults: bool = False,
    table_absent_rate: float = 0.0,
    image_absent_rate: float = 0.0,
    gap_scale: float = 1.0,
    prevalence_boost: float = 4.0,
    n_workers: int = 1,
) -> PhantomSummary:
    """Write a simulated cohort in the file forms of a UK Biobank download.

    The same arguments give the same bytes, whatever ``n_workers``. Subject ``k`` is the same in cohorts of any size,
    except for who carries a fault.

    Args:
        folder: Folder to make; must be absent or empty.
        n_subjects: Subjects to simulate.
        seed: Seed of everything, not negative.
        first_id: Participant id of the first subject; ids of seven digits that start with 9 exist in no registry.
        image: Slices, frames and pixels of each scan.
        faults: Give one subject each :class:`~dymo_med.data.synthetic.faults.PhantomFault`.
        table_absent_rate: Share of subjects that have an image but no row.
        image_absent_rate: Share of subjects that have a row but no image.
        gap_scale: Factor on the chance of gaps in the table; 0 for none beyond questions that were not asked.
        prevalence_boost: Times the registry's prevalence of coronary disease (7 %) and infarction (3 %). Four by
            default, since a balanced training set of a small cohort would else be empty.
        n_workers: Processes.

    Returns:
        Paths and counts.

    Raises:
        ValueError: an argument is out of its range.
        FileExistsError: the folder holds something already.
        OSError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> size = PhantomImageSize(n_slices=1, n_frames=4, rows=24, columns=24)
        >>> summary = write_phantom_download(tempfile.mkdtemp(), n_subjects=2, seed=0, image=size)
        >>> summary.n_images, summary.table.name
        (2, 'participants.csv')
    """
    folder = Path(folder)
    _check(folder, n_subjects, seed, first_id, table_absent_rate, image_absent_rate, gap_scale, n_workers)
    cohort_rng = np.random.default_rng(np.random.SeedSequence(seed))
    fault_of = assign_faults(n_subjects, cohort_rng) if faults else {}
    plans = [
        _Plan(
            folder=folder / _IMAGE_FOLDER,
            index=index,
            eid=first_id + index,
            seed=seed,
            image=image,
            fault=fault_of.get(index),
            table_absent_rate=table_absent_rate,
            image_absent_rate=image_absent_rate,
            gap_scale=gap_scale,
            prevalence_boost=prevalence_boost,
        )
        for index in range(n_subjects)
    ]
    records = list(_run(plans, n_workers))
    rows = [row for record in records for row in record.rows]
    truth = [record.truth for record in records]
    summary = PhantomSummary(
        folder=folder,
        table=folder / _TABLE_FILE,
        images=folder / _IMAGE_FOLDER,
        truth=folder / _TRUTH_FILE,
        n_subjects=n_subjects,
        n_rows=len(rows),
        n_images=_count(truth, "has_image"),
        n_cad=_count(truth, "cad"),
        n_infarction=_count(truth, "infarction"),
        n_faults=len(fault_of),
    )
    _write_csv(summary.table, rows, quoting=csv.QUOTE_ALL)
    _write_csv(summary.truth, truth, quoting=csv.QUOTE_MINIMAL)
    write_text(folder / "README.txt", _readme(summary, image, seed, prevalence_boost))
    return summary


def _check(
    folder: Path,
    n_subjects: int,
    seed: int,
    first_id: int,
    table_absent_rate: float,
    image_absent_rate: float,
    gap_scale: float,
    n_workers: int,
) -> None:
    check_positive_int("n_subjects", n_subjects)
    check_positive_int("n_workers", n_workers)
    check_fraction("table_absent_rate", table_absent_rate)
    check_fraction("image_absent_rate", image_absent_rate)
    if table_absent_rate + image_absent_rate > 1:
        raise ValueError(
            "table_absent_rate and image_absent_rate must sum to at most 1, however: "
            f"{table_absent_rate} + {image_absent_rate}; nobody lacks both, so lower one of them"
        )
    if not 0 <= gap_scale <= 2:
        raise ValueError(f"gap_scale must be between 0 and 2, however: gap_scale={gap_scale!r}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, however: seed={seed!r}")
    if first_id < _FIRST_SIMULATED_ID or first_id + n_subjects - 1 > _LAST_SIMULATED_ID:
        raise ValueError(
            f"simulated ids must lie from {_FIRST_SIMULATED_ID} to {_LAST_SIMULATED_ID}, outside any registry, "
            f"however: first_id={first_id} with n_subjects={n_subjects}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"the folder of a simulated download must be new or empty, however: '{folder.name}' holds something; "
            "remove it or choose another"
        )


def _run(plans: Sequence[_Plan], n_workers: int) -> Iterator[_Record]:
    if n_workers == 1:
        yield from map(_simulate, plans)
        return
    with ProcessPoolExecutor(n_workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_simulate, plans, chunksize=8)


def _simulate(plan: _Plan) -> _Record:
    """Simulate one subject and write its archive."""
    sequence = np.random.SeedSequence(plan.seed, spawn_key=(plan.index,))
    body, cells, pixels = (np.random.default_rng(child) for child in sequence.spawn(3))
    person = draw_person(body, prevalence_boost=plan.prevalence_boost)
    heart = draw_heart(person, body)
    absent = body.random()
    has_table = absent >= plan.table_absent_rate
    has_image = has_table is False or absent >= plan.table_absent_rate + plan.image_absent_rate
    if plan.fault is not None:
        has_table, has_image = plan.fault is not PhantomFault.NO_ROW, plan.fault is not PhantomFault.NO_IMAGE
    if has_image:
        _write_scan(plan, person, heart, pixels)
    row = {"eid": plan.eid, **table_row(person, heart, cells, gap_scale=plan.gap_scale)}
    rows = _damaged_rows(row, plan.fault) if has_table else ()
    return _Record(rows, _truth(plan, person, heart, has_table=has_table, has_image=has_image))


def _write_scan(plan: _Plan, person: Person, heart: Heart, rng: np.random.Generator) -> None:
    scan = CineScan(
        eid=plan.eid,
        seed=plan.seed,
        values=render_cine(heart, plan.image, bmi=person.bmi, rng=rng),
        image=plan.image,
        pose=draw_pose(rng),
        scan_date=person.scan,
        cycle_ms=60_000 / person.heart_rate_bpm,
        with_inline_vf=bool(rng.random() < _INLINE_VF_RATE),
    )
    write_archive(archive_path(plan.folder, plan.eid), scan, rng, fault=plan.fault)


def _damaged_rows(row: dict[str, Cell], fault: PhantomFault | None) -> tuple[dict[str, Cell], ...]:
    if fault is PhantomFault.TEXT_IN_NUMBER:
        return (row | {"21001-2.0": "see notes"},)
    if fault is PhantomFault.UNKNOWN_CODE:
        return (row | {"20116-2.0": 9},)
    if fault is PhantomFault.DUPLICATE_ID:
        return row, row | {"21002-2.0": 70.0}
    return (row,)


def _truth(plan: _Plan, person: Person, heart: Heart, *, has_table: bool, has_image: bool) -> dict[str, Cell]:
    n_frames = plan.image.n_frames
    return {
        "eid": plan.eid,
        "has_table": int(has_table),
        "has_image": int(has_image),
        "fault": plan.fault,
        "male": int(person.male),
        "age_years": round(person.age_years, 3),
        "bmi": round(person.bmi, 4),
        "usual_sbp_mmhg": round(person.usual_sbp_mmhg, 3),
        "hypertension": int(person.hypertension),
        "bp_treated": int(person.bp_treated),
        "diabetes": int(person.diabetes),
        "cad": int(person.cad),
        "infarction": int(person.infarction),
        "cad_after_scan": int(person.cad_later),
        "cad_date": None if person.cad_date is None else person.cad_date.isoformat(),
        "scan_date": person.scan.isoformat(),
        "edv_ml": round(heart.edv_ml, 4),
        "esv_ml": round(heart.esv_ml, 4),
        "ef_percent": round(heart.ef_percent, 4),
        "mass_g": round(heart.mass_g, 4),
        "wall_mm": round(heart.wall_mm, 4),
        "segment_angle_rad": round(heart.segment_angle_rad, 5),
        "segment_half_width_rad": round(heart.segment_half_width_rad, 5),
        "segment_motion_loss": round(heart.segment_motion_loss, 5),
        "segment_thinning": round(heart.segment_thinning, 5),
        "center_right_mm": round(heart.offset_mm[0], 4),
        "center_down_mm": round(heart.offset_mm[1], 4),
        "ed_frame": heart.ed_frame(n_frames),
        "es_frame": heart.es_frame(n_frames),
        "mid_slice": plan.image.n_slices // 2,
    }


def _count(truth: Iterable[Mapping[str, Cell]], name: str) -> int:
    return sum(row[name] == 1 for row in truth)


def _readme(summary: PhantomSummary, image: PhantomImageSize, seed: int, boost: float) -> str:
    return _README.format(
        boost=boost,
        cad=summary.n_cad / summary.n_subjects,
        infarction=summary.n_infarction / summary.n_subjects,
        n_subjects=summary.n_subjects,
        seed=seed,
        n_slices=image.n_slices,
        n_frames=image.n_frames,
        rows=image.rows,
        columns=image.columns,
    )


def _write_csv(path: Path, rows: Sequence[Mapping[str, Cell]], *, quoting: Literal[0, 1]) -> None:
    """Write rows that share their columns; a blank cell stays empty."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=quoting, lineterminator="\n")
        if rows:
            writer.writerow(rows[0])
        writer.writerows(["" if cell is None else cell for cell in row.values()] for row in rows)
