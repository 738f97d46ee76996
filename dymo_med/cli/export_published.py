"""Write the weights of a bundle as checkpoints in the form that the authors of DyMo and TIP publish."""

import argparse
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dymo-med export-published``."""
    parser.add_argument(
        "--config-file", type=Path, nargs="+", required=True, help="configurations of the bundle, overlays last"
    )
    parser.add_argument("--bundle-root", default=".", help="folder of the bundle (%(default)s)")
    parser.add_argument("--dataset-dir", required=True, help="cohort that the network reads")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--dataset", default="CAD", help="name of the data set in the settings (%(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Build the fitted network and its recovery from the configurations, and export them.

    Raises:
        ValueError: a configuration or the weights do not fit.
        OSError: a file is absent or the disk is full.
    """
    from monai.bundle import ConfigParser

    from dymo_med.interop import export_published

    for path in arguments.config_file:
        if not path.is_file():
            raise FileNotFoundError(f"no configuration at {path}: correct the path")
    parser = ConfigParser()
    parser.read_config([str(path) for path in arguments.config_file])
    parser["bundle_root"] = arguments.bundle_root
    parser["dataset_dir"] = arguments.dataset_dir
    try:
        network = parser.get_parsed_content("trained_network")
        tip = parser.get_parsed_content("trained_recovery") if parser["recoveries"] else None
    except RuntimeError as err:  # the parser wraps what went wrong
        cause = err.__cause__ or err
        raise ValueError(f"the bundle cannot be built: {cause}") from err
    written = export_published(network, arguments.output, recovery=tip, dataset=arguments.dataset)
    sys.stdout.write(f"{', '.join(written)} in {arguments.output}\n")
