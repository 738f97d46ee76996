"""The process that sends a run while it goes on, so that training neither waits for a store nor dies with it."""

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from dymo_med.tracking.journal import count_entries, read_entries
from dymo_med.tracking.sending import SENDER_LOCK_FILE, Sender, close_if_abandoned
from dymo_med.tracking.store import without_credentials
from dymo_med.tracking.system import SystemMonitor

__all__ = ["follow", "main", "start_sender"]

LOG_FILE = "sender.log"
"""What the sending process had to say."""

_LOOK_SECONDS = 0.5
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
_MAX_FAILURES_AT_END = 4
_TAKE_OVER_SECONDS = 60.0
_NICENESS = 10


def start_sender(folder: str | Path, uri: str, *, system_metrics: bool = True) -> "subprocess.Popen[bytes]":
    """Start the process that sends a journal for as long as this process lives.

    Args:
        folder: Folder of the journal; what the process says goes to ``sender.log`` there.
        uri: Address of the store; handed over in the environment, since it may hold a password.
        system_metrics: Log the load of the machine too.

    Returns:
        The process; it ends by itself once the run has ended, or this process is gone.
    """
    words = [sys.executable, "-W", "ignore", "-m", "dymo_med.tracking.background", str(folder), str(os.getpid())]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    with (Path(folder) / LOG_FILE).open("ab") as log:
        return subprocess.Popen(
            [*words, "--system-metrics"] if system_metrics else words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the run; what it leaves is still to be sent
        )


def follow(folder: str | Path, uri: str, parent: int, *, system_metrics: bool = False) -> bool:
    """Send a journal while it grows, until its run has ended.

    A store that fails is tried again after 1, 2, 4, ... 60 seconds; once the run has ended, four failures in a row are
    the end. A run whose process is gone without a word ends as FAILED.

    Args:
        folder: Folder of the journal.
        uri: Address of the store.
        parent: Process that writes the journal and started this one.
        system_metrics: Log the load of the machine too.

    Returns:
        Whether everything was sent.
    """
    folder = Path(folder)
    logger = logging.getLogger(__name__)
    with FileLock(folder / SENDER_LOCK_FILE, timeout=_TAKE_OVER_SECONDS):
        sender = Sender(folder, uri)
        monitor = SystemMonitor(folder) if system_metrics else None
        n_failures, next_try, orphaned_since = 0, 0.0, None
        while True:
            if os.getppid() != parent:
                close_if_abandoned(folder)
                orphaned_since = orphaned_since or time.monotonic()
            has_ended = read_entries(folder, start=count_entries(folder) - 1)[-1]["kind"] == "end"
            if monitor is not None:
                monitor.sample()
            if time.monotonic() >= next_try and sender.n_unsent:
                try:
                    sender.send()
                    n_failures = 0
                except Exception as err:  # noqa: BLE001 - whatever a store does, it is tried again
                    n_failures += 1
                    logger.warning("failure %d in a row: %s", n_failures, without_credentials(str(err)))
                    next_try = time.monotonic() + min(
                        _FIRST_PAUSE_SECONDS * 2.0 ** (n_failures - 1), _LONGEST_PAUSE_SECONDS
                    )
            if has_ended and (not sender.n_unsent or n_failures >= _MAX_FAILURES_AT_END):
                return not sender.n_unsent
            if orphaned_since is not None and time.monotonic() > orphaned_since + _TAKE_OVER_SECONDS:
                return False  # somebody else holds the journal
            time.sleep(_LOOK_SECONDS)


def main(argv: Sequence[str] | None = None) -> int:
    """Follow the journal that the command line names; the store is in ``MLFLOW_TRACKING_URI``."""
    parser = argparse.ArgumentParser(description=follow.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("parent", type=int)
    parser.add_argument("--system-metrics", action="store_true")
    arguments = parser.parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(message)s")
    os.nice(_NICENESS)
    uri = os.environ["MLFLOW_TRACKING_URI"]
    is_sent = follow(arguments.folder, uri, arguments.parent, system_metrics=arguments.system_metrics)
    return 0 if is_sent else 1


if __name__ == "__main__":
    sys.exit(main())
