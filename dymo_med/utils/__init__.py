"""Enumerations, argument checks with one wording, safe files, and processes that work together."""

from dymo_med.utils.checks import (
    as_choice,
    check_bool_mask,
    check_fraction,
    check_positive,
    check_positive_int,
    check_shape,
)
from dymo_med.utils.digests import as_digest
from dymo_med.utils.enums import ClassBalance, ICSWeight, Metric, Strategy, TableDecoding
from dymo_med.utils.errors import SubjectError
from dymo_med.utils.files import (
    atomic_path,
    load_weights,
    read_json,
    save_weights,
    sha256_of,
    write_json,
    write_text,
)
from dymo_med.utils.processes import (
    mean_over_processes,
    n_processes,
    process_rank,
    share_of_batch,
    sum_over_processes,
)
from dymo_med.utils.progress import progress_bar
from dymo_med.utils.rebuilding import build_from, rebuildable, settings_of
from dymo_med.utils.seeds import derived_seed

__all__ = [
    "ClassBalance",
    "ICSWeight",
    "Metric",
    "Strategy",
    "SubjectError",
    "TableDecoding",
    "as_choice",
    "as_digest",
    "atomic_path",
    "build_from",
    "check_bool_mask",
    "check_fraction",
    "check_positive",
    "check_positive_int",
    "check_shape",
    "derived_seed",
    "load_weights",
    "mean_over_processes",
    "n_processes",
    "process_rank",
    "progress_bar",
    "read_json",
    "rebuildable",
    "save_weights",
    "settings_of",
    "sha256_of",
    "share_of_batch",
    "sum_over_processes",
    "write_json",
    "write_text",
]
