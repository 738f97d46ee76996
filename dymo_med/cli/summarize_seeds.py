"""Put the comparisons of several seeds into one table with intervals."""

import argparse
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med summarize-seeds``.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args(["--model", "cosine", "a.csv", "b.csv", "--output", "all.csv"]).model
        [['cosine', 'a.csv', 'b.csv']]
    """
    parser.add_argument(
        "--model",
        action="append",
        nargs="+",
        required=True,
        metavar=("NAME", "FILE"),
        help="name of a model and its accuracy.csv of each seed; may be given again for the next model",
    )
    parser.add_argument("--published", type=Path, help="CSV of figures to stand beside: model, pattern, strategy, ...")
    parser.add_argument("--output", type=Path, required=True, help="table to write (CSV); a .txt comes beside it")


def run(arguments: argparse.Namespace) -> None:
    """Write the table and show it.

    Raises:
        ValueError: a model is named twice, or tables do not fit together.
        OSError: a file is absent or the table cannot be written.
    """
    import pandas as pd

    from dymo_med.evaluation import summarize_seeds, summary_text
    from dymo_med.utils import atomic_path, write_text

    names = [name for name, *_ in arguments.model]
    if len(set(names)) < len(names):
        raise ValueError(f"a model must be named once, however: {names}; give all of its files after one --model")
    models = {name: [pd.read_csv(path) for path in paths] for name, *paths in arguments.model}
    published = None if arguments.published is None else pd.read_csv(arguments.published)
    summary = summarize_seeds(models, published)
    with atomic_path(arguments.output) as temporary:
        summary.to_csv(temporary, index=False)
    text = summary_text(summary)
    write_text(arguments.output.with_suffix(".txt"), text)
    sys.stdout.write(text)
