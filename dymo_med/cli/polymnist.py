"""Write a set in the manner of PolyMNIST from MNIST's files and photographs of scikit-image."""

import argparse
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med polymnist``.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args(["--images", "i", "--labels", "l", "--output", "polymnist"]).seed
        0
    """
    parser.add_argument("--images", type=Path, required=True, help="MNIST's images, IDX, gzipped or not")
    parser.add_argument("--labels", type=Path, required=True, help="labels of the same images")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--textures", nargs="+", metavar="NAME", help="photographs, one per modality; default: five")
    parser.add_argument("--n-digits", type=int, help="use the first N digits only; default: all")
    parser.add_argument(
        "--unlabeled",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the training digits that only recoveries learn from, as a split of its own (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same files (%(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Write the set and a closing line.

    Raises:
        ValueError: a file is damaged, or an option is out of its range.
        OSError: a file is absent or the folder cannot be written.
    """
    from dymo_med.data.polymnist import DEFAULT_TEXTURES, fractions_of, read_idx, read_textures, write_polymnist
    from dymo_med.utils import check_positive_int

    digits, labels = read_idx(arguments.images), read_idx(arguments.labels)
    if arguments.n_digits is not None:
        check_positive_int("n_digits", arguments.n_digits)
        digits, labels = digits[: arguments.n_digits], labels[: arguments.n_digits]
    textures = read_textures(arguments.textures or DEFAULT_TEXTURES)
    data = write_polymnist(
        arguments.output,
        digits=digits,
        labels=labels,
        textures=textures,
        fractions=fractions_of(arguments.unlabeled),
        seed=arguments.seed,
    )
    splits = ", ".join(f"{name} {len(data.items(name))}" for name in data.splits)
    sys.stdout.write(f"{len(data)} samples ({splits}) of {len(data.modalities)} modalities in {data.folder}\n")
