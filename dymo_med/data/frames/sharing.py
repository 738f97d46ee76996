"""Which process or machine reads which images."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dymo_med.data.frames.parts import Part, n_parts_of, part_number
from dymo_med.data.frames.sources import file_states

__all__ = ["Shard", "by_part", "index_shards"]


@dataclass(frozen=True)
class Shard:
    """The share of one of several processes or machines.

    Args:
        number: From 1 to ``count``.
        count: Number of shares.

    Raises:
        ValueError: there is no such share.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(
                f"a shard is a number from 1 to the number of shards, however: {self.number} of {self.count}: number "
                "them from 1"
            )

    def parts(self, n_images: int) -> list[Part]:
        """Give its parts of a store of so many images.

        Example:
            >>> [part.name for part in Shard(2, 3).parts(n_images=2000)]
            ['part-002-of-004']
        """
        count = n_parts_of(n_images)
        return [Part(number, count) for number in range(self.number, count + 1, self.count)]


def by_part(images: Mapping[str, Any], parts: Sequence[Part]) -> dict[int, dict[str, Any]]:
    """Give the images of each of these parts, by number of the part, sorted by subject."""
    chosen: dict[int, dict[str, Any]] = {part.number: {} for part in parts}
    count = n_parts_of(len(images))
    for subject in sorted(images):
        number = part_number(subject, count)
        if number in chosen:
            chosen[number][subject] = images[subject]
    return chosen


def index_shards(images: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Tell for every shard how many images it has and, as a digest, which, so that a change of its files shows.

    Args:
        images: Subject to source.
        count: Number of shards.

    Returns:
        Per shard ``n_images`` and ``digest`` over pseudonyms, sizes and modification times.

    Example:
        >>> [shard["n_images"] for shard in index_shards({}, 2)]
        [0, 0]
    """
    groups = by_part(images, Shard(1, 1).parts(len(images)))
    shards = []
    for number in range(1, count + 1):
        own = [groups[part.number] for part in Shard(number, count).parts(len(images))]
        sources = {subject: source for group in own for subject, source in group.items()}
        states = sorted((subject, file_states(source)) for subject, source in sources.items())
        text = json.dumps([len(groups), states])
        shards.append({"n_images": len(sources), "digest": hashlib.sha256(text.encode("utf-8")).hexdigest()})
    return shards
