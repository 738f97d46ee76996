"""Send runs to MLflow that their own processes could not send.

Looks for run journals in the folder, at any depth, and sends what the store has not confirmed yet. It can be repeated:
nothing is sent twice. A run whose process was killed ends as FAILED; a run that goes on is left alone.
"""

import argparse
import os
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med send-runs``.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args(["runs/cad"]).tracking_uri is None
        True
    """
    parser.add_argument("folder", type=Path, help="outputs of one or many runs")
    parser.add_argument(
        "--tracking-uri",
        help="MLflow store; default: MLFLOW_TRACKING_URI, the server that the run named, or SQLite beside its outputs",
    )


def run(arguments: argparse.Namespace) -> None:
    """Send every journal of the folder and write one line for each.

    Raises:
        FileNotFoundError: the folder holds no journal.
        OSError: a run could not be sent; what was confirmed is kept.
    """
    from dymo_med.tracking import is_running, journals_in

    journals = journals_in(arguments.folder)
    if not journals:
        raise FileNotFoundError(
            f"no run journal in {arguments.folder}: pass the folder of outputs that holds 'tracking'"
        )
    failures = []
    for folder in journals:
        if is_running(folder):
            sys.stdout.write(f"{folder.name[:6]}: still running, left alone\n")
            continue
        problem = _send(folder, arguments.tracking_uri)
        failures += [problem] if problem else []
    if failures:
        raise OSError(
            f"{len(failures)} of {len(journals)} runs could not be sent ({failures[0]}): "
            "see that the store answers, and run the same command again"
        )


def _send(folder: Path, tracking_uri: str | None) -> str:
    """Send one journal; the answer is the problem, empty for none."""
    from dymo_med.tracking import default_store, read_entries, send_journal, without_credentials

    name = folder.name[:6]
    try:
        start = read_entries(folder)[0]
        name = start["name"]
        uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or start["uri"] or default_store(folder.parents[1])
        n_sent = send_journal(folder, uri)
    except Exception as err:  # noqa: BLE001 - one run's fault, or its store's, is no fault of the others
        problem = without_credentials(" ".join(f"{type(err).__name__}: {err}".split()))[:200]
        sys.stdout.write(f"{name}: not sent: {problem}\n")
        return problem
    sys.stdout.write(f"{name}: {n_sent} entries sent to {without_credentials(uri)}\n")
    return ""
