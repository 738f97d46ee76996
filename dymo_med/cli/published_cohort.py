"""Write a prepared cohort in the columns of converted published weights."""

import argparse
from pathlib import Path

from dymo_med.cli.common import write_summary

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med published-cohort``."""
    parser.add_argument("--cohort", type=Path, required=True, help="prepared cohort")
    parser.add_argument("--schema", type=Path, required=True, help="schema.json of convert-published")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new cohort")
    parser.add_argument(
        "--absent-as-missing", action="store_true", help="columns that the cohort lacks are missing for everybody"
    )


def run(arguments: argparse.Namespace) -> None:
    """Read the cohort, write the other one and a closing line.

    Raises:
        ValueError: the cohort lacks columns, or the folders are one.
        OSError: a file is absent or the disk is full.
    """
    from dymo_med.data.cohort import Cohort
    from dymo_med.interop import with_schema
    from dymo_med.tabular import TabularSchema

    schema = TabularSchema.from_json(arguments.schema)
    cohort = Cohort(arguments.cohort)
    write_summary(with_schema(cohort, schema, arguments.output, absent_as_missing=arguments.absent_as_missing))
