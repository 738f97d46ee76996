"""Training by several processes, and training that is killed: against one run that nothing happened to."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch
import yaml

from dymo_med.handlers import ClassStatisticsFitter
from dymo_med.utils import load_weights, save_weights
from tests.bundles.runs import CAD, THIRD_PARTY_WARNINGS, TINY, TIP, configs, files, workflow
from tests.tracking.stores import client, runs_in

pytestmark = THIRD_PARTY_WARNINGS

FORK = multiprocessing.get_context("fork")

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
    (found,) = runs_in(store_of(root))
    metrics = {name: value for name, value in found.data.metrics.items() if name.startswith("validation/")}
    assert len(metrics) >= 4
    return metrics


def store_of(root):
    return f"sqlite:///{root / 'eval' / 'mlflow.db'}"


def histories(root):
    """Step and value of all that training logged, in the order of the steps, from the only run, which finished."""
    (found,) = runs_in(store_of(root))
    assert found.info.status == "FINISHED"
    histories = {}
    for name in (name for name in found.data.metrics if name.startswith(("train/", "validation/"))):
        points = client(store_of(root)).get_metric_history(found.info.run_id, name)
        histories[name] = sorted((point.step, point.value) for point in points)
    return histories


INTERRUPTED = {"max_epochs": 3, "batch_size": 2, "initialization": "scratch"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_training_ends_with_the_weights_of_one_that_was_not(tmp_path, copy_store, phantom_cohort, process_state):
    """The command as people type it, in any folder, with the process that sends to MLflow."""
    (tmp_path / "data").symlink_to(phantom_cohort.folder)
    root = copy_store(tmp_path / "killed" / "eval").parent
    words = command(CAD, "killed", phantom_cohort, dataset_dir="data", **INTERRUPTED)
    epoch = kill_in_an_epoch(CAD, root, turn_into, words, tmp_path)
    output = completed(words, tmp_path)
    assert f"training goes on after epoch {epoch}" in output
    assert "Traceback" not in output
    assert "logging.conf" in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "killed", "killed.log"]
    is_as_if_never_killed(CAD, root, tmp_path, copy_store, phantom_cohort)


@pytest.mark.slow
def test_killed_pretraining_ends_with_the_weights_of_one_that_was_not(
    tmp_path, copy_store, phantom_cohort, process_state, caplog
):
    root = copy_store(tmp_path / "killed" / "eval").parent
    epoch = kill_in_an_epoch(TIP, root, partial(train, TIP, root, phantom_cohort, **INTERRUPTED))
    with caplog.at_level(logging.INFO, "dymo_med.handlers.checkpoint"):
        train(TIP, root, phantom_cohort, **INTERRUPTED)
    assert f"training goes on after epoch {epoch}" in caplog.text
    is_as_if_never_killed(TIP, root, tmp_path, copy_store, phantom_cohort)


def is_as_if_never_killed(bundle, root, folder, copy_store, cohort):
    """Compare weights, bit by bit, and all that MLflow holds with a training that nothing happened to."""
    assert not (root / "models" / CHECKPOINT[bundle]).exists()
    whole = copy_store(folder / "whole" / "eval").parent
    train(bundle, whole, cohort, **INTERRUPTED)
    assert different_weights(root / "models" / WEIGHTS[bundle], whole / "models" / WEIGHTS[bundle]) == []
    logged = histories(root)
    assert all([step for step, _ in points] == [1, 2, 3] for points in logged.values())
    assert logged == histories(whole)
    assert "train/loss" in logged


@pytest.mark.slow
def test_run_that_ended_after_its_last_epoch_fits_and_goes_on_in_the_same_tracked_run(
    tmp_path, copy_store, phantom_cohort, process_state, monkeypatch
):
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
    (found,) = runs_in(store_of(tmp_path))
    assert found.info.status == "FINISHED"


def turn_into(words, folder):
    """Make this process, a copy, run a command."""
    log = os.open(folder / "killed.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    os.execve(words[0], words, environment())


def kill_in_an_epoch(bundle, root, function, *arguments):
    """Start, wait for the checkpoint of an epoch, kill -9 in the next one and give the epoch of the checkpoint."""
    checkpoint = root / "models" / CHECKPOINT[bundle]
    process = FORK.Process(target=function, args=arguments)
    process.start()
    try:
        while not checkpoint.is_file() or load_weights(checkpoint)["epoch"] < 1:
            assert process.is_alive()
            time.sleep(0.005)
        time.sleep(0.05)
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (root / "models" / WEIGHTS[bundle]).exists()
    epoch = load_weights(checkpoint)["epoch"]
    assert epoch in (1, 2)
    return epoch


@pytest.mark.slow
def test_checkpoint_of_other_settings_ends_with_one_line(tmp_path, phantom_cohort, process_state, capsys):
    path = tmp_path / "models" / "checkpoint.pt"
    options = {"bundle_root": str(tmp_path), "dataset_dir": str(phantom_cohort.folder), "initialization": "scratch"}
    settings = workflow(CAD, **options).parser.get_parsed_content("settings")
    state = {"format": "dymo_med training checkpoint", "version": 1, "settings": {**settings, "learning_rate": 0.1}}
    save_weights(path, state)
    work = workflow(CAD, "augmentation_published.yaml", **options)
    work.initialize()
    with pytest.raises(RuntimeError, match="Failed to") as caught:
        work.run()
    capsys.readouterr()
    sys.excepthook(caught.type, caught.value, None)
    assert capsys.readouterr().err == (
        "dymo-med: error: checkpoint.pt of an interrupted training must be continued as it was begun, however: "
        "augmentation_recipe was 'per_volume' and is 'published', "
        f"learning_rate was 0.1 and is {settings['learning_rate']}; "
        "start it as before, or delete the file to begin anew\n"
    )
    assert load_weights(path)["settings"]["learning_rate"] == 0.1
