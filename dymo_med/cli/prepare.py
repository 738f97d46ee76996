"""Turn a UK Biobank download into a cohort for training, or for a trained network."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dymo_med.cli.common import add_cohort_arguments, image_spacing_of, load_schema, write_summary
from dymo_med.cli.download import (
    add_download_arguments,
    check_output,
    division_of,
    read_download_of,
    read_images_of,
    record_of,
    splits_of,
)

if TYPE_CHECKING:
    from dymo_med.data.frames import Shard

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med prepare``.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args("--tables t.csv --images i --key-file k --output o --data-kind simulated".split()).visit
        2
    """
    add_download_arguments(parser)
    parser.add_argument(
        "--schema",
        type=Path,
        help="a trained cohort, or its schema.json: apply it as it is and put everybody in split 'new'",
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="only read the images of one of N shares, for as many processes or machines; then run without it",
    )
    add_cohort_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Read the download, or one share of its images, write the cohort and a closing line.

    Raises:
        ValueError: tables or images cannot be used, or the key would lie in the cohort.
        OSError: a file is absent, the disk is full, a worker process died, or another command writes this cohort.
    """
    check_output(arguments)
    if arguments.shard is not None:
        _run_shard(arguments)
        return
    from dymo_med.data.cohort import write_cohort
    from dymo_med.utils import progress_bar

    schema = load_schema(arguments) if arguments.schema else None
    download = read_download_of(arguments, schema)
    divide = division_of(arguments, download)
    with progress_bar("images") as progress:
        cohort = write_cohort(
            arguments.output,
            features=download.features,
            columns=download.columns,
            images=download.all_images,
            labels=download.labels,
            splits=None if schema or divide else splits_of(arguments, download),
            set_aside=download.set_aside,
            schema=schema,
            image_size=arguments.image_size,
            image_spacing_mm=image_spacing_of(arguments),
            match_patient=arguments.patient_id == "participant",
            n_workers=arguments.n_workers,
            data_kind=arguments.data_kind,
            record=record_of(arguments, download),
            divide=divide,
            progress=progress,
        )
    write_summary(cohort)


def _run_shard(arguments: argparse.Namespace) -> None:
    from dymo_med.data.cohort import write_cohort_shard
    from dymo_med.utils import progress_bar

    shard = _shard(arguments.shard)
    if arguments.schema:
        load_schema(arguments)  # other image settings than in training must show here, too
    with progress_bar("images") as progress:
        n_images = write_cohort_shard(
            arguments.output,
            shard,
            images=read_images_of(arguments),
            image_size=arguments.image_size,
            image_spacing_mm=image_spacing_of(arguments),
            match_patient=arguments.patient_id == "participant",
            n_workers=arguments.n_workers,
            progress=progress,
        )
    sys.stdout.write(f"shard {shard.number} of {shard.count}: {n_images} images in {arguments.output}\n")


def _shard(text: str) -> "Shard":
    from dymo_med.data.frames import Shard

    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None:
        raise ValueError(f"--shard must be a number, a slash and the number of shards, however: {text!r}: write 3/20")
    return Shard(int(match[1]), int(match[2]))
