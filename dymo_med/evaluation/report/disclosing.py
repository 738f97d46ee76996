"""What a report may tell of the test subjects, given what the tables of the cohort withhold."""

import numpy as np
import pandas as pd

from dymo_med.evaluation.report.suppression import suppress
from dymo_med.evaluation.report.sweep_results import SweepResults
from dymo_med.evaluation.report.wording import Disclosure

__all__ = ["disclosure_for"]


def disclosure_for(results: SweepResults, min_count: int) -> Disclosure:
    """Decide what may be told of the test subjects.

    Where another split has too few cases, the cases of the test subjects would tell them by subtraction: all figures
    that depend on labels are withheld. Where too few test subjects have no label, the number of those with one would
    tell them: sizes are withheld.

    Args:
        results: The sweep.
        min_count: Smallest count to show; 1 shows all.

    Raises:
        ValueError: ``min_count`` is not a positive integer.
    """
    subjects = results.cohort.subjects
    counts = pd.crosstab(subjects["split"], subjects[f"label_{results.task}"])
    test = counts.index.get_loc("test")
    hides_all = False
    for _, cases in counts.items():
        numbers = np.append(cases.to_numpy(dtype=np.int64), cases.sum())
        hides_all |= bool(suppress(numbers, [range(len(numbers))], min_count, last=(len(counts),))[test])
    n_unlabeled = int(subjects.loc[subjects["split"] == "test", f"label_{results.task}"].isna().sum())
    return Disclosure(min_count, hides_all=hides_all, hides_sizes=0 < n_unlabeled < min_count)
