"""Write the page of a prepared cohort: flow diagram, table 1, labels, gaps, digests."""

import argparse
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med cohort-report``.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args(["cohort"]).min_count
        10
    """
    parser.add_argument("cohort", type=Path, help="folder of a prepared cohort")
    parser.add_argument("--output", type=Path, help="HTML file to write (default: cohort.html in the folder)")
    parser.add_argument("--min-count", type=int, default=10, help="smallest count to show; 1 shows all (%(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Read the cohort, write the page and a closing line.

    Raises:
        ValueError: the folder is no cohort of this version, or an option is out of its range.
        OSError: there is no cohort, or the page cannot be written.
    """
    from dymo_med.data.cohort import Cohort
    from dymo_med.evaluation.report import write_cohort_page

    path = write_cohort_page(Cohort(arguments.cohort), arguments.output, min_count=arguments.min_count)
    sys.stdout.write(f"page of the cohort: {path}\n")
