"""Find registry ids, id columns, notebook outputs, scans and large tables before they are shared."""

import argparse
import sys
from pathlib import Path

from dymo_med.privacy import Allowances, Bounds, scan_history, scan_paths
from dymo_med.privacy.allowances import ALLOW_FILE

__all__ = ["add_arguments", "run"]

_FOUND = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med privacy-scan``.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args(["results", "--git"]).git
        True
    """
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="folders or files, MLflow stores among them"
    )
    parser.add_argument(
        "--git", action="store_true", help="scan the whole history of the git repository at PATH instead of its files"
    )
    parser.add_argument(
        "--allow", type=Path, help="what may stay, with reasons (default: .privacy-allow in PATH, or here for files)"
    )
    parser.add_argument(
        "--table-bytes", type=int, default=100_000, help="report tables and arrays above this size (%(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Scan, and write one line for each finding.

    Returns:
        1 if something was found, else 0.

    Raises:
        ValueError: the allow file is faulty, or PATH is no repository.
        OSError: a path does not exist or cannot be read.
    """
    allowed, bounds = _allowances(arguments), Bounds(table_bytes=arguments.table_bytes)
    if arguments.git:
        results = [scan_history(path, allowed, bounds) for path in arguments.paths]
    else:
        results = [scan_paths(arguments.paths, allowed, bounds)]
    findings = [finding for result in results for finding in result.findings]
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    n_files, n_allowed = sum(result.n_files for result in results), sum(result.n_allowed for result in results)
    what = "stored versions" if arguments.git else "files"
    sys.stdout.write(f"{len(findings)} findings in {n_files} {what}; {n_allowed} allowed\n")
    return _FOUND if findings else 0


def _allowances(arguments: argparse.Namespace) -> Allowances:
    if arguments.allow:
        return Allowances.from_file(arguments.allow)
    first = arguments.paths[0]
    beside = (first if first.is_dir() else Path()) / ALLOW_FILE
    return Allowances.from_file(beside) if beside.is_file() else Allowances()
