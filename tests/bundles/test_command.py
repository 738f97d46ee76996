"""The command that people type ends with one line when something is wrong."""

import sys

import pytest
from monai.bundle import ConfigParser

from dymo_med.utils import save_weights
from tests.bundles.runs import CAD, THIRD_PARTY_WARNINGS, TINY, TIP, files, workflow

pytestmark = [pytest.mark.slow, *THIRD_PARTY_WARNINGS]


def test_misspelt_override_ends_with_one_line(tmp_path, monkeypatch, process_state, capsys):
    """In this process, whose words are those of the command; that of a process, see the tests of the command line."""
    words = ["--config_file", str(files(CAD)), "--val_intervall", "3", "--bundle_root", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["monai.bundle", "run", *words])
    with pytest.raises(RuntimeError, match="Failed to") as caught:
        workflow(CAD, bundle_root=str(tmp_path)).initialize()
    capsys.readouterr()
    sys.excepthook(caught.type, caught.value, None)
    line = "an override must change an id of the configuration, however: --val_intervall; did you mean --val_interval?"
    assert capsys.readouterr().err == f"dymo-med: error: {line}\n"
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
