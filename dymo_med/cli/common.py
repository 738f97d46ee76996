"""What sub-commands that write a cohort share: options, the closing line."""

import argparse
import sys
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dymo_med.data.cohort import Cohort
    from dymo_med.tabular import TabularSchema

__all__ = ["add_cohort_arguments", "image_spacing_of", "load_schema", "write_summary"]

_SPACING_MM = 1.8
_PUBLISHED = "published"


def add_cohort_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every sub-command that writes a cohort.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_cohort_arguments(parser)
        >>> parser.parse_args(["--output", "cohort", "--data-kind", "simulated"]).image_size
        128
    """
    parser.add_argument("--output", type=Path, required=True, help="folder of the cohort")
    parser.add_argument("--data-kind", required=True, help="what the data are: 'simulated', or the name of the source")
    parser.add_argument("--image-size", type=int, default=128, help="rows and columns of the model image (%(default)s)")
    parser.add_argument(
        "--image-spacing",
        type=_spacing,
        help=f"pixel size in mm ({_SPACING_MM}), or '{_PUBLISHED}': slice, phases and scale as published",
    )
    parser.add_argument("--n-workers", type=int, default=1, help="processes that read images (%(default)s)")


def image_spacing_of(arguments: argparse.Namespace) -> float | None:
    """Give the pixel size of the model image in mm, None for images made as published.

    Args:
        arguments: Options of :func:`add_cohort_arguments`; ``--compat reference`` asks for published images, too.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_cohort_arguments(parser)
        >>> image_spacing_of(parser.parse_args(["--output", "cohort", "--data-kind", "simulated"]))
        1.8
    """
    given = arguments.image_spacing
    if given is None:
        given = _PUBLISHED if getattr(arguments, "compat", None) == "reference" else _SPACING_MM
    return None if given == _PUBLISHED else float(given)


def load_schema(arguments: argparse.Namespace) -> "TabularSchema":
    """Read the schema that ``--schema`` names: a trained cohort, or the file alone.

    Args:
        arguments: Options; given a cohort, image size and spacing must be as there.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is no schema, or the images would differ from those of the trained network.
    """
    from dymo_med.tabular import TabularSchema

    if not arguments.schema.is_dir():
        return TabularSchema.from_json(arguments.schema)
    _check_image_settings(arguments)
    return TabularSchema.from_json(arguments.schema / "schema.json")


def write_summary(cohort: "Cohort") -> None:
    """Write the page ``cohort.html``, and one line on who is in the cohort, who is not and why, and where it lies."""
    from dymo_med.evaluation.report import write_cohort_page

    write_cohort_page(cohort)
    subjects, aside = cohort.subjects, cohort.set_aside
    splits = _listed(subjects["split"].value_counts(sort=False).sort_index().to_dict())
    stages = _listed(aside["stage"].value_counts().sort_index().to_dict())
    sys.stdout.write(
        f"{len(subjects)} subjects ({splits}; data: {cohort.data_kind}) in {cohort.folder}; "
        f"{len(aside)} set aside{f' ({stages}), reasons in qc.parquet' if stages else ''}\n"
    )


def _check_image_settings(arguments: argparse.Namespace) -> None:
    from dymo_med.utils import read_json

    trained = read_json(arguments.schema / "cohort.json")["image"]
    size, spacing_mm = trained["shape"][-1], trained["spacing_mm"]
    found = image_spacing_of(arguments)
    if (arguments.image_size, found) != (size, spacing_mm):
        raise ValueError(
            "image size and spacing must be as those of the trained cohort, however: "
            f"--image-size {arguments.image_size} --image-spacing {found or _PUBLISHED}, trained with {size} and "
            f"{spacing_mm or _PUBLISHED}: pass these"
        )


def _spacing(text: str) -> float | str:
    return text if text == _PUBLISHED else float(text)


def _listed(counts: Mapping[Hashable, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
