"""Runs for MLflow: a journal beside the outputs, sent by a process of its own, so that training never waits."""

from dymo_med.tracking.environment import code_tags, pinned_requirements, version_tags
from dymo_med.tracking.journal import JournalWriter, is_running, journals_in, read_entries
from dymo_med.tracking.provenance import provenance_of, record_path, write_record
from dymo_med.tracking.sending import Sender, send_journal
from dymo_med.tracking.store import connect, default_store, disable_telemetry, without_credentials

__all__ = [
    "JournalWriter",
    "Sender",
    "code_tags",
    "connect",
    "default_store",
    "disable_telemetry",
    "is_running",
    "journals_in",
    "pinned_requirements",
    "provenance_of",
    "read_entries",
    "record_path",
    "send_journal",
    "version_tags",
    "without_credentials",
    "write_record",
]
