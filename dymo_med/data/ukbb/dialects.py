"""Column names of UK Biobank tables, in every form that its tools write."""

import re
from typing import NamedTuple

__all__ = ["Cell", "is_participant_column", "parse_column"]


class Cell(NamedTuple):
    """Place of a value: registry field, visit (the registry's "instance") and position among several values."""

    field: int
    visit: int
    array: int


_PARTICIPANT = frozenset({"eid", "f.eid", "f_eid", "n_eid", "participant.eid"})
_FORMS = (
    r"(?P<field>\d+)-(?P<visit>\d+)\.(?P<array>\d+)",  # ukbconv csv
    r"[fX]\.?(?P<field>\d+)\.(?P<visit>\d+)\.(?P<array>\d+)",  # ukbconv R; the csv after R repaired its names
    r"(?:participant\.)?p(?P<field>\d+)(?:_i(?P<visit>\d+))?(?:_a(?P<array>\d+))?",  # Research Analysis Platform
    r"(?:n_|s_|ts_|f_|x_?|X_?|c_?)(?P<field>\d+)_(?P<visit>\d+)_(?P<array>\d+)",  # Stata, repaired R, PHESANT, ukbREST
)
_PATTERNS = tuple(re.compile(form) for form in _FORMS)


def parse_column(title: str) -> Cell | None:
    """Read field, visit and array position from a column title.

    A part that the title leaves out, as the Research Analysis Platform does where a field has one visit or one value,
    is 0.

    Args:
        title: Column title in any dialect: ``4080-2.1``, ``f.4080.2.1``, ``X4080.2.1``, ``p4080_i2_a1``,
            ``participant.p4080_i2_a1``, ``n_4080_2_1`` (also ``s_``, ``ts_``),
            ``f_4080_2_1``, ``X4080_2_1``, ``x4080_2_1``, ``c4080_2_1``.

    Returns:
        The place, or None if the title is none of these forms.

    Example:
        >>> parse_column("p4080_i2_a1"), parse_column("31-0.0") == parse_column("p31")
        (Cell(field=4080, visit=2, array=1), True)
    """
    for pattern in _PATTERNS:
        if found := pattern.fullmatch(title.strip()):
            return Cell(*(int(found[part] or 0) for part in Cell._fields))
    return None


def is_participant_column(title: str) -> bool:
    """Tell whether a column holds the participant's id.

    Example:
        >>> is_participant_column("f.eid"), is_participant_column("eid_old")
        (True, False)
    """
    return title.strip() in _PARTICIPANT
