"""Bundles at sizes that run in a second, and what there is of them on disk."""

from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from dymo_med.utils import read_json

ROOT = Path(__file__).parents[2]
CAD, TIP = "ukbb_cardiac_cad_classification", "ukbb_cardiac_tip_pretraining"
INFARCTION = "ukbb_cardiac_infarction_classification"
BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.is_dir())

TINY_TIP = {
    "max_epochs": 2,
    "warmup_epochs": 1,
    "batch_size": 8,
    "sizes::resnet_channels": [4, 4, 8, 8],
    "sizes::table_dim": 8,
    "sizes::table_blocks": 1,
    "sizes::table_heads": 2,
    "sizes::tip_blocks": 1,
    "sizes::tip_heads": 2,
    "sizes::tip_projection_dim": 8,
}
TINY_CAD = {name: value for name, value in TINY_TIP.items() if name != "warmup_epochs"} | {
    "aux_start_epoch": 1,
    "sizes::fusion_dim": 8,
    "sizes::fusion_blocks": 1,
    "sizes::fusion_heads": 2,
    "sizes::embedding_dim": 8,
}
TINY = {CAD: TINY_CAD, INFARCTION: TINY_CAD, TIP: TINY_TIP}

THIRD_PARTY_WARNINGS = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),  # MLflow's own tables
    pytest.mark.filterwarnings("ignore::DeprecationWarning:monai.handlers.earlystop_handler"),  # how it calls ignite
]


def configs(bundle):
    return ROOT / "bundles" / bundle / "configs"


def files(bundle, *overlays):
    """The configuration files of a run, as the demonstration gives them."""
    return [str(configs(bundle) / name) for name in ("train.yaml", *overlays, "small.yaml")]


def metadata(bundle):
    return read_json(configs(bundle) / "metadata.json")


def workflow(bundle, *overlays, **overrides):
    """A workflow at tiny sizes; overrides name ids, with "__" for "::"."""
    named = {name.replace("__", "::"): value for name, value in overrides.items()}
    kind = "inference" if "inference.yaml" in overlays else "train"
    return ConfigWorkflow(files(bundle, *overlays), workflow_type=kind, logging_file=False, **TINY[bundle] | named)


def run(bundle, *overlays, **overrides):
    """Run a workflow from its first to its last step and give what MONAI misses in it."""
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()}
    work = workflow(bundle, *overlays, **plain)
    work.initialize()
    problems = work.check_properties()
    work.run()
    work.finalize()
    return problems
