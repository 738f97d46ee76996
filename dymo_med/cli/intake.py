"""Turn a clinic's own table and images into a cohort for a trained network.

The table (CSV or Parquet) has the columns of the schema, each at its name, and subject_id (a pseudonym). If wanted it
has also image (a .zip of DICOM files, a 4D .nii.gz, or "ed.nii.gz;es.nii.gz", each path relative to the table),
label_TASK (whole numbers from 0) and split.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dymo_med.cli.common import add_cohort_arguments, image_spacing_of, load_schema, write_summary

if TYPE_CHECKING:
    import pandas as pd

    from dymo_med.tabular import TabularSchema

__all__ = ["add_arguments", "run"]

_ABSENT_NUMBERS = ["", "NA", "NaN", "nan"]
"""What statistics programs write where a number is missing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med intake``.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args("--table t.csv --schema trained --output o --data-kind simulated".split()).image_size
        128
    """
    parser.add_argument("--table", type=Path, required=True, help="CSV or Parquet file, one row a subject")
    parser.add_argument("--schema", type=Path, required=True, help="a trained cohort, or its schema.json")
    add_cohort_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Read the table, write the cohort and a closing line.

    Raises:
        ValueError: the table does not fit the schema.
        OSError: a file is absent, the disk is full or a worker process died.
    """
    from dymo_med.data.cohort import write_cohort
    from dymo_med.utils import progress_bar

    schema = load_schema(arguments)
    table = _read_table(arguments.table, schema)
    labels = table[[title for title in table.columns if title.startswith("label_")]]
    extra = [title for title in table.columns if title in ("image", "split") or title in labels.columns]
    images, set_aside = _images(table, arguments.table.parent)
    with progress_bar("images") as progress:
        cohort = write_cohort(
            arguments.output,
            features=table.drop(columns=extra),
            columns=schema.columns,
            images=images,
            labels=labels.rename(columns=lambda title: title.removeprefix("label_")),
            splits=table["split"] if "split" in table.columns else None,
            set_aside=set_aside,
            schema=schema,
            image_size=arguments.image_size,
            image_spacing_mm=image_spacing_of(arguments),
            n_workers=arguments.n_workers,
            data_kind=arguments.data_kind,
            progress=progress,
        )
    write_summary(cohort)


def _read_table(path: Path, schema: "TabularSchema") -> "pd.DataFrame":
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        table = pd.read_parquet(path)
    else:
        absent = {column.name: _ABSENT_NUMBERS for column in schema.columns if column.kind == "continuous"}
        table = pd.read_csv(path, dtype="str", keep_default_na=False, na_values=absent, encoding="utf-8-sig")
    if "subject_id" not in table.columns:
        raise ValueError(
            f"{path.name} must have a column 'subject_id', however: its {len(table.columns)} columns are "
            f"{list(table.columns)[:8]} ...: add pseudonyms, or write the file with commas between columns"
        )
    return table.set_index("subject_id")


def _images(table: "pd.DataFrame", folder: Path) -> tuple[dict[str, Any], "pd.DataFrame"]:
    import pandas as pd

    from dymo_med.data.cohort import image_source
    from dymo_med.utils import SubjectError

    sources: dict[str, Any] = {}
    problems: list[tuple[str, str, str]] = []
    texts = table["image"].dropna() if "image" in table.columns else pd.Series(dtype="str")
    for subject, text in texts[texts.astype("str").str.strip() != ""].items():
        try:
            sources[str(subject)] = image_source(str(text), folder)
        except SubjectError as err:
            problems.append((str(subject), "image", str(err)))
    return sources, pd.DataFrame(problems, columns=["subject_id", "stage", "reason"])
