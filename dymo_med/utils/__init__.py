"""Enumerations, argument checks with one wording, and safe files."""

from dymo_med.utils.checks import (
    as_choice,
    check_bool_mask,
    check_fraction,
    check_positive,
    check_positive_int,
    check_shape,
)
from dymo_med.utils.enums import ICSWeight, Metric, Strategy, TableDecoding
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

__all__ = [
    "ICSWeight",
    "Metric",
    "Strategy",
    "SubjectError",
    "TableDecoding",
    "as_choice",
    "atomic_path",
    "check_bool_mask",
    "check_fraction",
    "check_positive",
    "check_positive_int",
    "check_shape",
    "load_weights",
    "read_json",
    "save_weights",
    "sha256_of",
    "write_json",
    "write_text",
]
