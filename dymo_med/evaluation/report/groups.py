"""Groups of subjects that a table compares."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dymo_med.evaluation.report.suppression import suppress

__all__ = ["Groups", "Partition"]


@dataclass(frozen=True)
class Partition:
    """Groups that together are everybody.

    Args:
        title: What divides them.
        columns: Positions of the groups.
        compared: Positions of the groups between which differences are told.

    Example:
        >>> Partition("split", (1, 2), (1, 2)).title
        'split'
    """

    title: str
    columns: tuple[int, ...]
    compared: tuple[int, ...]


class Groups:
    """Everybody, and the groups of one or more partitions.

    Args:
        partitions: Title of a partition to its groups: name to (N,) True for those in it. A group named in
            ``unknown`` is part of the partition, but not compared.
        n_subjects: N.
        min_count: Smallest group to tell of.
        unknown: Name of the groups whose members could not be assigned.

    Raises:
        ValueError: the groups of a partition overlap or leave somebody out.

    Example:
        >>> groups = Groups({"split": {"train": np.array([True, True, False]), "test": np.array([False, False, True])}},
        ...                 n_subjects=3, min_count=1)
        >>> groups.titles, groups.sizes.tolist()
        (['all', 'train', 'test'], [3, 2, 1])
    """

    def __init__(
        self,
        partitions: Mapping[str, Mapping[str, NDArray[np.bool_]]],
        *,
        n_subjects: int,
        min_count: int,
        unknown: str = "unknown",
    ) -> None:
        self.min_count = min_count
        self.titles = ["all"]
        self.members: list[NDArray[np.bool_]] = [np.ones(n_subjects, dtype=bool)]
        self.partitions: list[Partition] = []
        for title, groups in partitions.items():
            if not (np.sum(list(groups.values()), axis=0) == 1).all():
                raise ValueError(
                    f"the groups of a partition must hold everybody once, however: {title!r} with "
                    f"{ {name: int(members.sum()) for name, members in groups.items()} } of {n_subjects}: "
                    "add a group for the others"
                )
            start = len(self.titles)
            self.titles += list(groups)
            self.members += list(groups.values())
            columns = tuple(range(start, len(self.titles)))
            compared = tuple(column for column in columns if self.titles[column] != unknown)
            self.partitions.append(Partition(title, columns, compared))
        self.sizes = np.array([members.sum() for members in self.members], dtype=np.int64)
        lines = [(0, *partition.columns) for partition in self.partitions]
        self.withheld = suppress(self.sizes, lines, min_count, last=(0,))

    def counts(self, levels: NDArray[np.int64], n_levels: int) -> NDArray[np.int64]:
        """Count levels in every group: (N,) level of each subject -> (n_levels, number of groups)."""
        return np.stack([np.bincount(levels[members], minlength=n_levels) for members in self.members], axis=1)

    def hidden(self, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Choose which of the counts of all levels in all groups to hide.

        Levels add up to the size of a group, which is shown, and the groups of a partition to everybody.

        Args:
            counts: (n_levels, number of groups).

        Returns:
            Same shape, True where a count must not be shown.
        """
        place = np.arange(counts.size).reshape(counts.shape)
        lines = [tuple(row[[0, *partition.columns]]) for row in place for partition in self.partitions]
        lines += [tuple(place[:, column]) for column in np.flatnonzero(~self.withheld)]
        withheld = np.broadcast_to(self.withheld, counts.shape).ravel()
        return suppress(counts.ravel(), lines, self.min_count, hidden=withheld.copy()).reshape(counts.shape)
