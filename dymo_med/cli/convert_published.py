"""Convert published weights of DyMo and TIP for use with a bundle.

Nothing in the published files is executed. Written are model.pt, tip.pt, published.yaml (an overlay for the
configurations of the bundle) and, where means and standard deviations of the table are known, schema.json.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from dymo_med.interop import PublishedModel
    from dymo_med.tabular import TabularSchema

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med convert-published``."""
    parser.add_argument("--classifier", type=Path, required=True, help="checkpoint_best_auc.ckpt")
    parser.add_argument("--statistics", type=Path, help="subset_gaussian.pt, or subset_gaussian_EU.pt")
    parser.add_argument("--recovery", type=Path, help="TIP's checkpoint_last_epoch_499.ckpt")
    parser.add_argument("--field-lengths", type=Path, help="tabular_lengths_reordered.pt; needed with a table")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--metric", help="cosine or squared_euclidean, where the checkpoint does not tell")
    parser.add_argument("--fusion-heads", type=int, help="heads of the fusion, where the checkpoint does not tell")
    parser.add_argument("--table-heads", type=int, default=8, help="heads of the table encoders (%(default)s)")
    parser.add_argument("--tip-heads", type=int, default=8, help="heads of TIP's multimodal blocks (%(default)s)")
    parser.add_argument("--decoding", default="global", help="of recovered categories: global or column (%(default)s)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--training-table", type=Path, help="CSV or Parquet to learn means and standard deviations from"
    )
    source.add_argument("--column-statistics", type=Path, help='JSON: {"age_at_scan_years": {"mean": 64, "std": 8}}')
    parser.add_argument(
        "--absent-as-missing", action="store_true", help="columns absent from the training table are always missing"
    )


def run(arguments: argparse.Namespace) -> None:
    """Convert, write, and say what was written, what was not needed and what is missing.

    Raises:
        ValueError: a file is refused or does not fit the others.
        OSError: a file is absent or the disk is full.
    """
    from dymo_med.interop import load_published, write_published

    schema = _schema(arguments)
    model = load_published(
        arguments.classifier,
        statistics=arguments.statistics,
        recovery=arguments.recovery,
        field_lengths=arguments.field_lengths,
        metric=arguments.metric,
        fusion_heads=arguments.fusion_heads,
        table_heads=arguments.table_heads,
        tip_heads=arguments.tip_heads,
        decoding=arguments.decoding,
    )
    written = write_published(model, arguments.output, schema)
    sys.stdout.write(f"{', '.join(written)} in {arguments.output}\n")
    for line in _remarks(model, has_schema=schema is not None):
        sys.stdout.write(f"  {line}\n")


def _schema(arguments: argparse.Namespace) -> "TabularSchema | None":
    from dymo_med.interop import published_schema, read_field_lengths
    from dymo_med.utils import read_json

    if arguments.training_table is None and arguments.column_statistics is None:
        return None
    if arguments.field_lengths is None:
        raise ValueError(f"a schema needs --field-lengths, however: {arguments.field_lengths}: pass the published file")
    table = None if arguments.training_table is None else _table(arguments.training_table)
    return published_schema(
        read_field_lengths(arguments.field_lengths),
        training=table,
        statistics=None if arguments.column_statistics is None else read_json(arguments.column_statistics),
        absent_as_missing=arguments.absent_as_missing,
    )


def _table(path: Path) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise FileNotFoundError(f"no training table at {path}: correct the path")
    table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path, encoding="utf-8-sig")
    return table.set_index("subject_id") if "subject_id" in table.columns else table


def _remarks(model: "PublishedModel", *, has_schema: bool) -> list[str]:
    remarks = [f"not needed in {name}: {', '.join(unused)}" for name, unused in model.unused.items() if unused]
    if not bool(model.network.statistics.is_fitted):
        remarks.append("without --statistics only the strategies discard and fuse_all predict")
    if model.sizes and model.recovery is None:
        remarks.append("without --recovery nothing is recovered")
    if model.sizes and not has_schema:
        remarks.append("no schema.json: published files hold no means; pass --training-table or --column-statistics")
    return remarks
