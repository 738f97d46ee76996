"""Training by several processes, and training that is killed: against one run that nothing happened to."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

from dymo_med.handlers import ClassStatisticsFitter
from dymo_med.utils import load_weights, save_weights
from tests.bundles.runs import CAD, THIRD_PARTY_WARNINGS, TINY, TIP, configs, files, workflow

pytestmark = THIRD_PARTY_WARNINGS

PLACES = {"bundle_root", "dataset_dir", "model_dir", "output_dir", "model_file", "tracking_uri", "device"}
PLACES |= {"checkpoint_file", "tip_file", "imagenet_file"}
NOT_OF_TRAINING = {"ics_weight", "decoding", "num_workers", "class_names", "modalities"}
"""What may change between the parts of a training that was interrupted."""

CHECKPOINT = {CAD: "checkpoint.pt", TIP: "tip_checkpoint.pt"}
WEIGHTS = {CAD: "model.pt", TIP: "tip.pt"}


def load(bundle, name):
    return yaml.safe_load((configs(bundle) / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("bundle", [CAD, TIP])
def test_settings_of_a_checkpoint_are_all_hyper_parameters(bundle):
    config = load(bundle, "train.yaml")
    plain = {key for key, value in config.items() if not (isinstance(value, str) and value.startswith(("$", "@")))}
    simple = {key for key in plain if not isinstance(config[key], (dict, list)) or key in ("sizes", "hidden_rate")}
    assert set(config["settings"]) - {"cohort_digest"} == simple - PLACES - NOT_OF_TRAINING
    assert all(value == f"@{key}" for key, value in config["settings"].items() if key != "cohort_digest")


@pytest.mark.parametrize("bundle", [CAD, TIP])
def test_overlay_for_processes_changes_how_and_not_what(bundle):
    overlay = load(bundle, "multi_gpu_train.yaml")
    assert set(overlay) == {"+imports", "device", "train::trainer::network", "initialize::0", "+finalize"}
    assert load(bundle, "train.yaml")["initialize"][0] == "$begin_bundle_run()"
    assert overlay == load(CAD, "multi_gpu_train.yaml")


def command(bundle, root, cohort, *launcher, overlays=(), **overrides):
    """The words of a run in a process of its own."""
    words = [sys.executable, "-W", "ignore", *launcher, "-m", "monai.bundle", "run"]
    words += ["--config_file", str(files(bundle, *overlays))]
    named = {**TINY[bundle], "bundle_root": root, "dataset_dir": cohort.folder, **overrides}
    return words + [str(word) for name, value in named.items() for word in (f"--{name}", value)]


def environment():
    kept = {name: value for name, value in os.environ.items() if name not in ("DYMO_MED_DEBUG", "MLFLOW_TRACKING_URI")}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "MLFLOW_DISABLE_TELEMETRY": "true"}


def completed(words, folder):
    done = subprocess.run(
        words, check=False, cwd=folder, env=environment(), capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def train(bundle, root, cohort, **settings):
    """Run a bundle in this process."""
    work = workflow(bundle, bundle_root=str(root), dataset_dir=str(cohort.folder), **settings)
    work.initialize()
    work.run()
    work.finalize()


def different_weights(first, second, atol=0.0):
    ours, theirs = load_weights(first), load_weights(second)
    assert ours.keys() == theirs.keys()
    return [name for name, value in ours.items() if not torch.allclose(value.double(), theirs[name].double(), 0, atol)]


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path, copy_store, phantom_cohort, process_state):
    for name in ("one", "two"):
        copy_store(tmp_path / name / "eval")
    settings = {"batch_size": 6, "initialization": "scratch", "num_workers": 0}  # 20 subjects: 3 steps and 2 subjects
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    output = completed(
        command(CAD, tmp_path / "two", phantom_cohort, *launcher, overlays=["multi_gpu_train.yaml"], **settings),
        tmp_path,
    )
    train(CAD, tmp_path / "one", phantom_cohort, **settings)
    one, two = (load_weights(tmp_path / name / "models" / "model.pt") for name in ("one", "two"))
    assert float(one["prototypes"].abs().sum()) > 0
    torch.testing.assert_close(two["prototypes"], one["prototypes"], rtol=0, atol=1e-4)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-4, msg=name)
    assert scores(tmp_path / "two") == pytest.approx(scores(tmp_path / "one"), abs=1e-4)
    assert output.count("Key metric") == 2  # of two epochs, told by the first process alone
    assert not (tmp_path / "two" / "models" / "checkpoint.pt").exists()


def scores(root):
    """Validation scores of the last epoch by name, from the only run of a store."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{root / 'eval' / 'mlflow.db'}")
    (found,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    metrics = {name: value for name, value in found.data.metrics.items() if name.startswith("validation/")}
    assert len(metrics) >= 4
    return metrics


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("bundle", [CAD, TIP])
def test_killed_training_ends_with_the_weights_of_one_that_was_not(
    tmp_path, copy_store, phantom_cohort, process_state, bundle
):
    settings = {"max_epochs": 3, "batch_size": 2, "initialization": "scratch"}
    root = tmp_path / "killed"
    for name in ("killed", "whole"):
        copy_store(tmp_path / name / "eval")
    words = command(bundle, root, phantom_cohort, **settings)
    epoch = kill_in_an_epoch(words, root / "models" / CHECKPOINT[bundle], tmp_path)
    assert epoch in (1, 2)
    assert not (root / "models" / WEIGHTS[bundle]).exists()
    assert f"training goes on after epoch {epoch}" in completed(words, tmp_path)
    assert not (root / "models" / CHECKPOINT[bundle]).exists()
    train(bundle, tmp_path / "whole", phantom_cohort, **settings)
    assert different_weights(root / "models" / WEIGHTS[bundle], tmp_path / "whole" / "models" / WEIGHTS[bundle]) == []


@pytest.mark.slow
def test_run_that_ended_after_its_last_epoch_fits_and_goes_on_in_the_same_tracked_run(
    tmp_path, copy_store, phantom_cohort, process_state, monkeypatch
):
    import mlflow

    copy_store(tmp_path / "eval")
    settings = {"bundle_root": str(tmp_path), "dataset_dir": str(phantom_cohort.folder), "max_epochs": 1}
    work = workflow(CAD, initialization="scratch", **settings)
    work.initialize()
    with monkeypatch.context() as patch:
        patch.setattr(ClassStatisticsFitter, "__call__", lambda *_: 1 / 0)
        with pytest.raises(RuntimeError, match="Failed to"):
            work.run()
    assert load_weights(tmp_path / "models" / "checkpoint.pt")["epoch"] == 1
    train(CAD, tmp_path, phantom_cohort, max_epochs=1, initialization="scratch")
    assert bool(load_weights(tmp_path / "models" / "model.pt")["statistics.is_fitted"])
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'eval' / 'mlflow.db'}")
    (found,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert found.info.status == "FINISHED"


def kill_in_an_epoch(words, checkpoint, folder):
    """Start, wait for the checkpoint of an epoch, kill -9 in the next one and give the epoch of the checkpoint."""
    with (
        (folder / "killed.log").open("w") as log,
        subprocess.Popen(words, cwd=folder, env=environment(), stdout=log, stderr=log) as process,
    ):
        try:
            while not checkpoint.is_file() or load_weights(checkpoint)["epoch"] < 1:
                assert process.poll() is None, (folder / "killed.log").read_text()[-3000:]
                time.sleep(0.005)
            time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    return load_weights(checkpoint)["epoch"]


@pytest.mark.slow
def test_checkpoint_of_other_settings_ends_with_one_line(tmp_path, phantom_cohort, process_state, capsys):
    path = tmp_path / "models" / "checkpoint.pt"
    work = workflow(CAD, bundle_root=str(tmp_path), dataset_dir=str(phantom_cohort.folder), initialization="scratch")
    work.initialize()
    settings = work.parser.get_parsed_content("settings")
    state = {"format": "dymo_med training checkpoint", "version": 1, "settings": {**settings, "learning_rate": 0.1}}
    save_weights(path, state)
    with pytest.raises(RuntimeError, match="Failed to") as caught:
        work.run()
    capsys.readouterr()
    sys.excepthook(caught.type, caught.value, None)
    assert capsys.readouterr().err == (
        "dymo-med: error: checkpoint.pt of an interrupted training must be continued as it was begun, however: "
        f"learning_rate was 0.1 and is {settings['learning_rate']}; "
        "start it as before, or delete the file to begin anew\n"
    )
    assert load_weights(path)["settings"]["learning_rate"] == 0.1
