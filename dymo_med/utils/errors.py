"""The error that costs one subject, never the cohort."""

__all__ = ["SubjectError"]


class SubjectError(ValueError):
    """A fault in one subject's data, as one line that says what is wrong, where, and what to do.

    Code that runs over a cohort catches this class alone, records the line as the reason why the subject is set aside,
    and goes on with the others. The text must not hold a registry identifier: name files by their kind
    ("short-axis zip, visit 2") or by the member inside, columns by feature name or field number.

    Args:
        problem: What is wrong, with the value found.
        where: File kind, archive member, table column or DICOM tag in which it was found.
        remedy: What the user can do about it.

    Example:
        >>> str(SubjectError("no pixel data", where="tag (7FE0,0010)", remedy="export the series again"))
        'no pixel data in tag (7FE0,0010): export the series again'
    """

    def __init__(self, problem: str, *, where: str, remedy: str) -> None:
        self.problem = problem
        self.where = where
        self.remedy = remedy
        super().__init__(f"{problem} in {where}: {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        """Support crossing a process boundary: keyword-only arguments need a rebuild function."""
        return _rebuild_subject_error, (self.problem, self.where, self.remedy)


def _rebuild_subject_error(problem: str, where: str, remedy: str) -> SubjectError:
    return SubjectError(problem, where=where, remedy=remedy)
