"""The command ``dymo-med``: thin sub-commands over the library."""

import argparse
import sys
from collections.abc import Sequence

from dymo_med import __version__
from dymo_med.cli import (
    cohort_report,
    convert_published,
    export_published,
    index,
    intake,
    polymnist,
    prepare,
    privacy_scan,
    published_cohort,
    report,
    send_runs,
    summarize_seeds,
    synth,
)

__all__ = ["main"]

_FAULT = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command.

    What goes wrong with data, arguments or the disk ends as one line on the error stream; ``--debug`` shows where.

    Args:
        argv: Words after the command; None for those of the process.

    Returns:
        Exit code: 0 done, 1 a check found something, 2 an error that was explained, 130 interrupted.

    Raises:
        SystemExit: the words are no command, or ask for help.

    Example:
        >>> main(["intake", "--table", "none.csv", "--schema", "none", "--output", "x", "--data-kind", "simulated"])
        2
    """
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except (ValueError, OSError, ModuleNotFoundError) as err:
        if arguments.debug:
            raise
        sys.stderr.write(f"dymo-med: error: {_one_line(err)}\n")
        return _FAULT
    except KeyboardInterrupt:
        sys.stderr.write("dymo-med: interrupted: run the same command again to go on\n")
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dymo-med", description="Prepare cohorts of cardiac cine MRI and clinical tables with missing parts."
    )
    parser.add_argument("--version", action="version", version=f"dymo-med {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where in the code an error arose")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, command in (
        ("synth", synth),
        ("index", index),
        ("prepare", prepare),
        ("intake", intake),
        ("convert-published", convert_published),
        ("published-cohort", published_cohort),
        ("export-published", export_published),
        ("send-runs", send_runs),
        ("cohort-report", cohort_report),
        ("report", report),
        ("privacy-scan", privacy_scan),
        ("polymnist", polymnist),
        ("summarize-seeds", summarize_seeds),
    ):
        about = str(command.__doc__)
        subparser = commands.add_parser(name, help=about.splitlines()[0], description=about)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def _one_line(err: Exception) -> str:
    text = err.strerror if isinstance(err, OSError) and err.strerror and err.filename is None else str(err)
    return " ".join(text.split()) or type(err).__name__
