"""Write the report of a sweep: performance under missing data, calibration, decisions, selection, single cases."""

import argparse
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med report``.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args(["--sweep", "eval/sweep", "--cohort", "cohort", "--output", "report.html"]).export
        False
    """
    parser.add_argument("--sweep", type=Path, required=True, help="folder eval/sweep of a bundle, a finished sweep")
    parser.add_argument("--cohort", type=Path, required=True, help="folder of the cohort that was swept")
    parser.add_argument("--models", type=Path, help="folder of the weights (default: models of the same bundle)")
    parser.add_argument("--export", action="store_true", help="aggregates only, small counts withheld, no single cases")
    parser.add_argument("--min-count", type=int, default=10, help="smallest count to show with --export (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write; figures/ goes beside it")


def run(arguments: argparse.Namespace) -> None:
    """Read the sweep, write page and figures, and a closing line.

    Raises:
        ValueError: sweep and cohort do not fit together, or an option is out of its range.
        OSError: a file is absent or cannot be written.
    """
    from dymo_med.evaluation.report.sweep_page import write_report

    path = write_report(
        arguments.sweep,
        arguments.cohort,
        arguments.output,
        model_dir=arguments.models,
        is_export=arguments.export,
        min_count=arguments.min_count,
    )
    sys.stdout.write(f"report: {path}\n")
