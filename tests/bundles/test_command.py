"""The command that people type: from any folder, and with one line when something is wrong."""

import os
import subprocess
import sys

import pytest
from monai.bundle import ConfigParser

from dymo_med.utils import load_weights, save_weights
from tests.bundles.runs import CAD, THIRD_PARTY_WARNINGS, TINY, TINY_TIP, TIP, files, workflow

pytestmark = [pytest.mark.slow, *THIRD_PARTY_WARNINGS]


def command(folder, bundle, *more, **overrides):
    """Run a bundle in a process of its own whose working directory is ``folder``."""
    words = ["-W", "ignore", "-m", "monai.bundle", "run", "--config_file", str(files(bundle)), *more]
    for name, value in overrides.items():
        words += [f"--{name}", str(value)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    for name in ("DYMO_MED_DEBUG", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, *words],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_bundle_runs_from_any_folder(tmp_path, copy_store, phantom_cohort):
    (tmp_path / "data").symlink_to(phantom_cohort.folder)
    copy_store(tmp_path / "work" / "eval")
    done = command(tmp_path, TIP, **TINY_TIP | {"max_epochs": 1}, bundle_root="work", dataset_dir="data")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "logging.conf" in done.stdout
    assert load_weights(tmp_path / "work" / "models" / "tip.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "work"]


def test_misspelt_override_ends_with_one_line(tmp_path):
    done = command(tmp_path, CAD, "--val_intervall", "3")
    line = "an override must change an id of the configuration, however: --val_intervall; did you mean --val_interval?"
    assert done.returncode == 1
    assert done.stderr == f"dymo-med: error: {line}\n"
    assert not list(tmp_path.iterdir())


def save_network(bundle, net_id, path, cohort, **sizes):
    """Weights of a network that was never trained, of other sizes than the runs have."""
    config = ConfigParser(ConfigParser.load_config_files(files(bundle)))
    config.update(TINY[bundle] | {"dataset_dir": str(cohort.folder)} | sizes)
    save_weights(path, config.get_parsed_content(net_id).state_dict())


def options(folder, cohort):
    return {"bundle_root": str(folder), "dataset_dir": str(cohort.folder)}


@pytest.mark.parametrize("overlay", ["evaluate.yaml", "inference.yaml"])
def test_missing_weights_end_with_one_line(tmp_path, phantom_cohort, explained, overlay):
    line = explained(workflow(CAD, overlay, **options(tmp_path, phantom_cohort)))
    assert line.startswith(f"dymo-med: error: no weights at {tmp_path / 'models'}")
    assert line.endswith(".pt: train the bundle first or pass the right file\n")
    assert line.count("\n") == 1
    assert not (tmp_path / "eval").exists()


@pytest.mark.parametrize(
    ("net_id", "name", "size", "line"),
    [
        ("network_def", "model.pt", "embedding_dim", "weights must fit MultimodalTransformer, however: 'proto"),
        ("recovery_def", "tip.pt", "tip_projection_dim", "weights must fit TIP, however: 'projector_"),
    ],
)
def test_weights_of_other_sizes_end_with_one_line(tmp_path, phantom_cohort, explained, net_id, name, size, line):
    for one, file in (("network_def", "model.pt"), ("recovery_def", "tip.pt")):
        other = {f"sizes::{size}": 6} if one == net_id else {}
        save_network(CAD, one, tmp_path / "models" / file, phantom_cohort, **other)
    text = explained(workflow(CAD, "inference.yaml", **options(tmp_path, phantom_cohort)))
    assert text.startswith(f"dymo-med: error: {line}")
    assert f" in {name} and " in text
    assert text.endswith("use the sizes and the schema of its training\n")
    assert text.count("\n") == 1


def test_missing_cohort_ends_with_one_line(tmp_path, explained):
    text = explained(workflow(TIP, bundle_root=str(tmp_path), dataset_dir=str(tmp_path / "none")))
    remedy = "run 'dymo-med prepare' to its end"
    assert text == f"dymo-med: error: no complete cohort at {tmp_path / 'none'} (no cohort.json): {remedy}\n"
