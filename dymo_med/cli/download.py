"""Options of commands that read a UK Biobank download, and what they decide: subjects, labels, splits."""

import argparse
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from dymo_med.data.ukbb import UKBBDownload
    from dymo_med.data.ukbb.images import ImageSource
    from dymo_med.tabular import TabularSchema

__all__ = [
    "add_download_arguments",
    "add_image_arguments",
    "check_output",
    "division_of",
    "read_download_of",
    "read_images_of",
    "record_of",
    "splits_of",
]

_SPLITS = ("train", "val", "test")
_NOT_WITH_REFERENCE = ("features", "tiers", "timing", "relatives", "splits_from", "seed", "fractions")
"""Options that the published definition leaves no room for."""


def add_download_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that tell what to read of a download, and whom to put where.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_download_arguments(parser)
        >>> parser.parse_args("--tables t.csv --images i --key-file k".split()).visit
        2
    """
    add = parser.add_argument
    add("--tables", type=Path, nargs="+", required=True, help="phenotype tables: CSV, tab-separated or Parquet")
    add_image_arguments(parser)
    add("--relatives", type=Path, help="pairs of relatives, who stay in one split (ukb_rel.dat)")
    add("--features", type=Path, help="feature catalogue of your own (YAML)")
    add("--tiers", nargs="+", help="tiers of features to take (risk_factor measurement)")
    add("--labels", nargs="*", help="labels to make; none to predict only (cad infarction)")
    add("--label-sets", type=Path, help="label definitions of your own (YAML)")
    add("--timing", help="when the evidence of a label is dated: prevalent (default), incident or ever")
    add("--within-years", type=float, help="time after the scan, for incident disease")
    add("--linkage-end", type=date.fromisoformat, help="last day of the hospital records, for incident disease")
    add("--compat", choices=["reference"], help="the published cohort definition, flaws included; see docs/cohorts.md")
    add("--seed", type=int, help="seed of the split into train, val and test (0)")
    add("--fractions", type=float, nargs=3, metavar=("TRAIN", "VAL", "TEST"), help="shares of the splits (.72 .18 .10)")
    add("--splits-from", type=Path, help="cohort whose subjects keep their splits; others are divided as usual")


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that tell which images there are.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_image_arguments(parser)
        >>> parser.parse_args("--images i --key-file k".split()).withdrawn
        []
    """
    add = parser.add_argument
    add("--images", type=Path, required=True, help="folder with the zips of field 20209, at any depth")
    add("--key-file", type=Path, required=True, help="secret key of the pseudonyms, made if absent; not in the output")
    add("--visit", type=int, default=2, help="visit of the scan: 2, or 3 for the repeat (%(default)s)")
    add("--nifti", help="names of NIfTI files to take instead of zips: '{id}/sa.nii.gz', a pair with ';' between")
    add("--bridge", type=Path, help="pairs of ids, that of the tables and that of the images, from two applications")
    add(
        "--patient-id",
        choices=["participant", "other"],
        default="participant",
        help="what Patient ID of the zips is: the participant in the file name, or a number of another kind",
    )
    add("--withdrawn", type=Path, nargs="+", default=[], help="lists of participants who have withdrawn")


def read_images_of(arguments: argparse.Namespace) -> "dict[str, ImageSource]":
    """Index the images that the options name.

    Args:
        arguments: Options of :func:`add_image_arguments`.

    Raises:
        ValueError: there are no images, or a list is malformed.
        OSError: a file is absent.
    """
    from dymo_med.data.ukbb import read_images

    images = read_images(
        arguments.images,
        key_file=arguments.key_file,
        visit=arguments.visit,
        nifti=arguments.nifti,
        bridge=arguments.bridge,
        withdrawn=arguments.withdrawn,
    )
    _check_numbering(arguments, images)
    return images


def check_output(arguments: argparse.Namespace) -> None:
    """Refuse a key inside the cohort, and a cohort to which participants who have withdrawn would come back.

    Args:
        arguments: Options of :func:`add_image_arguments`, and ``output``.

    Raises:
        ValueError: either is so.
    """
    if arguments.output.resolve() in arguments.key_file.resolve().parents:
        raise ValueError(
            f"the key must not lie in the cohort, however: --key-file {arguments.key_file} is in --output "
            f"{arguments.output}: who has both can undo the pseudonyms; choose another folder"
        )
    if arguments.withdrawn:
        return
    from dymo_med.utils import read_json

    about = arguments.output / "cohort.json"
    dropped = read_json(about).get("source", {}).get("n_withdrawn", 0) if about.is_file() else 0
    if dropped:
        raise ValueError(
            f"participants who have withdrawn must stay out, however: the cohort in {arguments.output} left out "
            f"{dropped} of them and there is no --withdrawn now: pass the newest lists"
        )


def read_download_of(arguments: argparse.Namespace, schema: "TabularSchema | None" = None) -> "UKBBDownload":
    """Read the download that the options name.

    Args:
        arguments: Options of :func:`add_download_arguments`, and ``output``.
        schema: Schema of a trained network, whose columns are read whatever their tier.

    Raises:
        ValueError: options exclude each other, or tables or images cannot be used.
        OSError: a file is absent.
    """
    from dymo_med.data.ukbb import DEFAULT_TIERS, When, read_download

    is_reference = arguments.compat == "reference"
    _check_options(arguments, schema, is_reference=is_reference)
    suffix = "_as_run" if is_reference else ""
    labels = [f"cad{suffix}", f"infarction{suffix}"] if arguments.labels is None else arguments.labels
    when = When(
        timing=_timing(arguments),
        within_years=arguments.within_years,
        linkage_end=arguments.linkage_end,
    )
    download = read_download(
        arguments.tables,
        arguments.images,
        key_file=arguments.key_file,
        visit=arguments.visit,
        nifti=arguments.nifti,
        bridge=arguments.bridge,
        withdrawn=arguments.withdrawn,
        relatives=arguments.relatives,
        features=arguments.features,
        tiers=arguments.tiers or DEFAULT_TIERS,
        names=schema.names if schema else None,
        labels=labels,
        label_sets=arguments.label_sets,
        when=when,
        published=is_reference,
    )
    _check_numbering(arguments, download.images)
    return download


def splits_of(arguments: argparse.Namespace, download: "UKBBDownload") -> "pd.Series":
    """Divide the subjects of a download as the options say.

    Raises:
        ValueError: a split would be empty, or relatives have different splits already.
        OSError: the cohort to take splits from is absent.
    """
    from dymo_med.data.splits import DEFAULT_FRACTIONS, stratified_split

    labels = download.labels.reindex(sorted({*download.features.index, *download.images}))
    given = arguments.fractions
    return stratified_split(
        labels,
        dict(zip(_SPLITS, given, strict=True)) if given else DEFAULT_FRACTIONS,
        arguments.seed or 0,
        groups=download.groups.reindex(labels.index).fillna(labels.index.to_series()),
        keep=_splits_from(arguments.splits_from) if arguments.splits_from else None,
    )


def division_of(arguments: argparse.Namespace, download: "UKBBDownload") -> "Callable[[list[str]], pd.Series] | None":
    """Give what divides the subjects once their images are read, as the published cohort was; None otherwise."""
    if arguments.compat != "reference":
        return None
    from dymo_med.data.splits import published_split

    in_file_order = download.file_rows.sort_values(kind="stable").index

    def divide(subjects: list[str]) -> "pd.Series":
        """Divide those of the file's subjects that are left."""
        return published_split(list(in_file_order[in_file_order.isin(subjects)]))

    return divide


def record_of(arguments: argparse.Namespace, download: "UKBBDownload") -> dict[str, Any]:
    """Give what a cohort remembers of its download: choices and counts, no ids and no paths."""
    options = ("visit", "patient_id", "tiers", "within_years", "compat", "seed", "fractions")
    chosen = {name: getattr(arguments, name) for name in options if getattr(arguments, name) is not None}
    if arguments.linkage_end:
        chosen["linkage_end"] = arguments.linkage_end.isoformat()
    return {"options": {"timing": _timing(arguments), **chosen}, **download.record()}


def _timing(arguments: argparse.Namespace) -> str:
    return arguments.timing or ("ever" if arguments.compat else "prevalent")


def _check_options(arguments: argparse.Namespace, schema: "TabularSchema | None", *, is_reference: bool) -> None:
    if is_reference:
        given = [f"--{name.replace('_', '-')}" for name in _NOT_WITH_REFERENCE if getattr(arguments, name) is not None]
        if given or schema is not None:
            raise ValueError(
                "--compat reference decides features, timing and splits itself, however: also given are "
                f"{[*given, *(['--schema'] if schema else [])]}: leave them out"
            )


def _check_numbering(arguments: argparse.Namespace, images: "dict[str, ImageSource]") -> None:
    from dymo_med.data.cine import check_patient_numbering

    if arguments.patient_id == "participant":
        check_patient_numbering([source for source in images.values() if isinstance(source, Path)])


def _splits_from(folder: Path) -> "pd.Series":
    import pandas as pd

    path = folder / "cohort.parquet"
    if not path.is_file():
        raise FileNotFoundError(f"no cohort at {folder} to take splits from: pass the folder of a prepared cohort")
    return pd.read_parquet(path, columns=["subject_id", "split"]).set_index("subject_id")["split"]
