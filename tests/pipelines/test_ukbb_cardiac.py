"""The workflow from a download to predictions, run as people run it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from dymo_med.cli import main
from dymo_med.data.cohort import Cohort

pytest.importorskip("snakemake")

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "pipelines" / "ukbb_cardiac"
SMALL = ["--n-slices", "1", "--n-frames", "8", "--rows", "40", "--columns", "40"]
BRIEF = ["--max_epochs", "1", "--batch_size", "8"]


def config(folder, **changes):
    """The demonstration's configuration for a small download, in a folder of its own."""
    content = yaml.safe_load((FOLDER / "config" / "demo.yaml").read_text())
    content |= {"image": {"size": 32, "spacing_mm": 4.0}, "threads": 1, "train_options": BRIEF}
    content |= {"pretrain_options": BRIEF, **changes}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def start(folder, profile, *words):
    command = [sys.executable, "-W", "ignore", "-m", "snakemake", *words, "--profile", FOLDER / "profiles" / profile]
    command += ["--snakefile", FOLDER / "Snakefile", "--directory", folder]
    command += ["--configfile", folder / "config.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(folder, profile, *words, timeout_s=540):
    process = start(folder, profile, *words)
    output = process.communicate(timeout=timeout_s)[0]
    return process.returncode, output


def steps(output):
    """Names of the rules that ran or would run, in order."""
    return [line.split()[1].rstrip(":") for line in output.splitlines() if line.startswith(RULES)]


RULES = ("rule ", "checkpoint ", "localrule ", "localcheckpoint ")


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workflow")
    (folder / "bundles").symlink_to(ROOT / "bundles")
    study, new = str(folder / "demo" / "download"), str(folder / "demo" / "new_download")
    assert main(["synth", "--output", study, "--n-subjects", "150", "--seed", "3", *SMALL]) == 0
    assert main(["synth", "--output", new, "--n-subjects", "12", "--seed", "2", *SMALL, "--faults"]) == 0
    config(folder)
    return folder


@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_a_dry_run_names_every_step(downloads, profile):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    code, output = run(downloads, profile, "--dry-run")
    assert code == 0, output
    wanted = {"index": 2, "shard": 4, "cohort": 2, "pretrain": 1, "train": 1, "evaluate": 1, "infer": 1, "all": 1}
    found = steps(output)
    assert {name: found.count(name) for name in wanted} == wanted
    assert ("gres=gpu:1" in output) == (profile == "slurm")


def test_several_gpus_train_with_torchrun(downloads, tmp_path):
    (tmp_path / "demo").symlink_to(downloads / "demo")
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    config(tmp_path, gpus=4)
    code, output = run(tmp_path, "local", "--dry-run", "--printshellcmds")
    assert code == 0, output
    launched = [line for line in output.splitlines() if "torch.distributed.run" in line]
    assert len(launched) == 2
    assert all("--nproc_per_node=4" in line and "multi_gpu_train.yaml" in line for line in launched)


def test_a_report_is_a_sweep_and_two_pages_of_each_classifier(downloads, tmp_path):
    (tmp_path / "demo").symlink_to(downloads / "demo")
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    config(tmp_path, report=True, sweep_options=["--seeds", "[1]"])
    code, output = run(tmp_path, "local", "--dry-run", "--printshellcmds")
    assert code == 0, output
    assert steps(output).count("sweep") == steps(output).count("report") == 1
    (sweep,) = [line for line in output.splitlines() if "sweep.yaml" in line]
    assert "--seeds '[1]'" in sweep
    (pages,) = [line for line in output.splitlines() if "dymo-med report" in line]
    assert "--output demo/cad/report.html" in pages
    assert "--export --output demo/cad/export/report.html" in pages
    assert "sweep" not in steps(run(downloads, "local", "--dry-run")[1])  # not unless asked for


def test_the_template_for_a_study_asks_for_a_report():
    files = {path.stem: yaml.safe_load(path.read_text()) for path in (FOLDER / "config").glob("*.yaml")}
    assert {name: content["report"] for name, content in files.items()} == {"demo": False, "ukb": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"n_shards": 0}, "0 is less than the minimum of 1"), ({"shards": 3}, "'shards' was unexpected")],
)
def test_a_wrong_configuration_is_refused_before_anything_runs(tmp_path, changes, message):
    config(tmp_path, **changes)
    code, output = run(tmp_path, "local", "--dry-run")
    assert code != 0
    assert message in output


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_cohorts_survive_a_kill_and_steps_run_again_only_for_what_changed(downloads):
    """Killed with all its children while shards are read; then to the end; then after one change at a time."""
    target = "demo/state/cohort/cohort.done"
    process = start(downloads, "local", target)
    deadline = time.monotonic() + 200
    while not list(downloads.glob("demo/cohort/frames/*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    code, output = run(downloads, "local", target)
    assert code == 0, output
    cohort, key = downloads / "demo" / "cohort", downloads / "demo" / "keys" / "pseudonyms.key"
    words = ["prepare", "--tables", f"{downloads}/demo/download/participants.csv", "--data-kind", "simulated"]
    words += ["--images", f"{downloads}/demo/download/imaging", "--key-file", str(key), "--output"]
    size = ["--image-size", "32", "--image-spacing", "4.0", "--fractions", "0.6", "0.15", "0.25"]
    assert main([*words, str(downloads / "alone"), *size]) == 0
    assert content(cohort) == content(downloads / "alone")
    stamp = (cohort / "cohort.json").stat().st_mtime_ns

    assert steps(run(downloads, "local", target)[1]) == []
    time.sleep(1.1)  # times of files are compared by the second on some file systems
    (downloads / "demo" / "download" / "imaging" / "README").touch()
    assert "shard" not in steps(run(downloads, "local", target)[1])
    assert (cohort / "cohort.json").stat().st_mtime_ns == stamp


BRIEF_SWEEP = ["--rates", "[0.0, 1.0]", "--seeds", "[1]", "--ranking_subjects", "40", "--calibration", "isotonic"]
"""An isotonic curve fits whatever one epoch of training predicts."""


@pytest.mark.slow
def test_the_whole_of_it(downloads):
    study = yaml.safe_load((FOLDER / "config" / "demo.yaml").read_text())["study"]
    study |= {"prepare_options": ["--fractions", "0.5", "0.25", "0.25"]}  # cases enough to choose a policy on
    config(downloads, study=study, report=True, sweep_options=BRIEF_SWEEP)
    code, output = run(downloads, "local", timeout_s=1500)
    assert code == 0, output
    cad = downloads / "demo" / "cad"
    for name in ("eval/evaluate/comparison.csv", "eval/inference/predictions.csv", "models/model.pt"):
        assert (cad / name).is_file()
    assert "without a prediction" in (cad / "eval" / "inference" / "summary.txt").read_text()
    page, export = ((cad / name / "report.html").read_text(encoding="utf-8") for name in ("", "export"))
    assert "Simulated data" in page
    assert "Single cases</h2>" in page
    assert "Single cases</h2>" not in export
    ids = Cohort(downloads / "demo" / "cohort").subjects.index
    assert not any(subject in export for subject in ids)
    assert list((cad / "figures").glob("*.svg"))
    assert steps(run(downloads, "local")[1]) == []

    config(downloads, study=study, report=True, sweep_options=[*BRIEF_SWEEP, "--min_count", "5"])
    code, output = run(downloads, "local", "--dry-run", "--printshellcmds")
    assert code == 0, output
    assert set(steps(output)) == {"sweep", "report", "all"}
    (command,) = [line.strip() for line in output.splitlines() if "sweep.yaml" in line]
    begin = command.removeprefix("Shell command: ").split(" && OMP_NUM_THREADS")[0]
    sweep = cad / "eval" / "sweep"
    subprocess.run(["bash", "-euc", begin], cwd=downloads, check=True)
    assert not (sweep / "test").exists()  # predictions under other options
    assert "--min_count 5" in (sweep / "made_from").read_text()
    (sweep / "test").mkdir()
    subprocess.run(["bash", "-euc", begin], cwd=downloads, check=True)
    assert (sweep / "test").exists()  # an interrupted sweep of the same goes on
