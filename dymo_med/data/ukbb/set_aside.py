"""Subjects that are left out of a cohort, each with the reason."""

from collections.abc import Iterable

import pandas as pd

from dymo_med.utils import SubjectError

__all__ = ["SetAside"]


class SetAside:
    """Collect the subjects that a fault in their own data costs, with the stage and the first reason found.

    Example:
        >>> aside = SetAside()
        >>> aside.add(["S1"], "table", SubjectError("2 rows", where="participants.csv", remedy="keep one"))
        >>> aside.frame().values.tolist()
        [['S1', 'table', '2 rows in participants.csv: keep one']]
    """

    def __init__(self) -> None:
        self._reasons: dict[str, tuple[str, str]] = {}

    def add(self, subjects: Iterable[str], stage: str, error: SubjectError) -> None:
        """Set subjects aside; those who are already keep their first reason.

        Args:
            subjects: Pseudonyms.
            stage: Where the fault was found: ``"table"``, ``"label"`` or ``"image"``.
            error: What is wrong, where, and the remedy.
        """
        reason = stage, str(error)
        for subject in subjects:
            self._reasons.setdefault(str(subject), reason)

    def forget(self, subjects: Iterable[str]) -> None:
        """Remove subjects from the record, as for those who have withdrawn."""
        for subject in subjects:
            self._reasons.pop(subject, None)

    @property
    def subjects(self) -> set[str]:
        """Pseudonyms of all subjects set aside."""
        return set(self._reasons)

    def frame(self) -> pd.DataFrame:
        """Give one row per subject, sorted by pseudonym: ``subject_id``, ``stage``, ``reason``."""
        rows = [(subject, *reason) for subject, reason in sorted(self._reasons.items())]
        return pd.DataFrame(rows, columns=["subject_id", "stage", "reason"], dtype="str")
