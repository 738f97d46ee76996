"""Write a simulated UK Biobank download, to try everything without patient data."""

import argparse
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med synth``.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args(["--output", "download", "--faults"]).faults
        True
    """
    parser.add_argument("--output", type=Path, required=True, help="folder to make, absent or empty")
    parser.add_argument("--n-subjects", type=int, default=200, help="simulated subjects (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same files (%(default)s)")
    parser.add_argument("--n-slices", type=int, default=6, help="short-axis slices of a scan (%(default)s)")
    parser.add_argument("--n-frames", type=int, default=20, help="frames of the cardiac cycle (%(default)s)")
    parser.add_argument("--rows", type=int, default=80, help="image rows (%(default)s)")
    parser.add_argument("--columns", type=int, default=80, help="image columns (%(default)s)")
    parser.add_argument("--faults", action="store_true", help="give some subjects damaged files and cells")
    parser.add_argument("--table-absent-rate", type=float, default=0.0, help="share without table row (%(default)s)")
    parser.add_argument("--image-absent-rate", type=float, default=0.0, help="share without image (%(default)s)")
    parser.add_argument("--n-workers", type=int, default=1, help="processes (%(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Write the download and a closing line.

    Raises:
        ValueError: an option is out of its range.
        OSError: the folder holds something, or cannot be written.
    """
    from dymo_med.data.synthetic import PhantomImageSize, write_phantom_download

    summary = write_phantom_download(
        arguments.output,
        n_subjects=arguments.n_subjects,
        seed=arguments.seed,
        image=PhantomImageSize(
            n_slices=arguments.n_slices,
            n_frames=arguments.n_frames,
            rows=arguments.rows,
            columns=arguments.columns,
        ),
        faults=arguments.faults,
        table_absent_rate=arguments.table_absent_rate,
        image_absent_rate=arguments.image_absent_rate,
        n_workers=arguments.n_workers,
    )
    sys.stdout.write(
        f"{summary.n_subjects} simulated subjects in {summary.folder}: {summary.n_rows} table rows, "
        f"{summary.n_images} image archives, {summary.n_faults} with a fault\n"
    )
