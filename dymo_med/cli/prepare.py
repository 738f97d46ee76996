"""Turn a UK Biobank download into a cohort for training, or for a trained network."""

import argparse
from pathlib import Path

from dymo_med.cli.common import add_cohort_arguments, load_schema, progress_bar, write_summary

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med prepare``.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args("--tables t.csv --images i --key-file k --output o --data-kind simulated".split()).labels
        ['cad', 'infarction']
    """
    parser.add_argument(
        "--tables", type=Path, nargs="+", required=True, help="phenotype tables: CSV, tab-separated or Parquet"
    )
    parser.add_argument("--images", type=Path, required=True, help="folder with the zips of field 20209, at any depth")
    parser.add_argument(
        "--key-file", type=Path, required=True, help="secret key of the pseudonyms, made if absent; not in the output"
    )
    parser.add_argument("--visit", type=int, default=2, help="visit of the scan: 2, or 3 for the repeat (%(default)s)")
    parser.add_argument("--withdrawn", type=Path, help="list of participants who have withdrawn")
    parser.add_argument("--features", type=Path, help="feature catalogue of your own (YAML)")
    parser.add_argument(
        "--labels", nargs="*", default=["cad", "infarction"], help="labels to make; none to predict only (%(default)s)"
    )
    parser.add_argument(
        "--schema",
        type=Path,
        help="a trained cohort, or its schema.json: apply it as it is and put everybody in split 'new'",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the split into train, val and test (%(default)s)")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        metavar=("TRAIN", "VAL", "TEST"),
        default=[0.72, 0.18, 0.10],
        help="shares of the three splits (%(default)s)",
    )
    add_cohort_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Read the download, write the cohort and a closing line.

    Raises:
        ValueError: tables or images cannot be used, or the key would lie in the cohort.
        OSError: a file is absent, the disk is full or a worker process died.
    """
    if arguments.output.resolve() in arguments.key_file.resolve().parents:
        raise ValueError(
            f"the key must not lie in the cohort, however: --key-file {arguments.key_file} is in --output "
            f"{arguments.output}: who has both can undo the pseudonyms; choose another folder"
        )
    from dymo_med.data.cohort import write_cohort
    from dymo_med.data.splits import stratified_split
    from dymo_med.data.ukbb import read_download

    schema = load_schema(arguments) if arguments.schema else None
    download = read_download(
        arguments.tables,
        arguments.images,
        key_file=arguments.key_file,
        visit=arguments.visit,
        withdrawn=arguments.withdrawn,
        features=arguments.features,
        names=schema.names if schema else None,
        labels=arguments.labels,
    )
    labels = download.labels.reindex(sorted({*download.features.index, *download.images}))
    fractions = dict(zip(("train", "val", "test"), arguments.fractions, strict=True))
    with progress_bar("images") as progress:
        cohort = write_cohort(
            arguments.output,
            features=download.features,
            columns=download.columns,
            images=download.images,
            labels=download.labels,
            splits=None if schema else stratified_split(labels, fractions, arguments.seed),
            set_aside=download.set_aside,
            schema=schema,
            image_size=arguments.image_size,
            image_spacing_mm=arguments.image_spacing,
            n_workers=arguments.n_workers,
            data_kind=arguments.data_kind,
            progress=progress,
        )
    write_summary(cohort)
