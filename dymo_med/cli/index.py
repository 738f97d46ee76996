"""List the images of a download by shard, so that a workflow sees which shards have changed.

Writes shard-I-of-N.json for every shard: how many images, and a digest of pseudonyms, sizes and times of their files.
A file is written only when its content changes.
"""

import argparse
import sys
from pathlib import Path

from dymo_med.cli.download import add_image_arguments, read_images_of

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med index``.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args("--images i --key-file k --output o --n-shards 20".split()).n_shards
        20
    """
    add_image_arguments(parser)
    parser.add_argument("--n-shards", type=int, default=1, help="number of shards (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="folder of the lists")


def run(arguments: argparse.Namespace) -> None:
    """Index the images, write the lists and a closing line.

    Raises:
        ValueError: there are no images, or the number of shards is not positive.
        OSError: a file is absent or the disk is full.
    """
    from dymo_med.data.frames import index_shards
    from dymo_med.utils import check_positive_int, read_json, write_json

    check_positive_int("--n-shards", arguments.n_shards)
    shards = index_shards(read_images_of(arguments), arguments.n_shards)
    n_changed = 0
    for number, content in enumerate(shards, start=1):
        path = arguments.output / f"shard-{number}-of-{arguments.n_shards}.json"
        if not path.is_file() or read_json(path) != content:
            write_json(path, content)
            n_changed += 1
    n_images = sum(shard["n_images"] for shard in shards)
    sys.stdout.write(f"{n_images} images in {len(shards)} shards, {n_changed} of them new or changed\n")
