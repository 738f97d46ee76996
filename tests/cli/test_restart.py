"""Killed at any moment and started again, the commands end with the very bytes of a run that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dymo_med.cli import main
from tests.cli.conftest import IMAGE, KIND


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restart") / "download"
    size = ["--n-slices", "1", "--n-frames", "8", "--rows", "40", "--columns", "40"]
    assert main(["synth", "--output", str(folder), "--n-subjects", "40", "--seed", "5", *size, "--faults"]) == 0
    return folder


def words(download, output, *more):
    tables = ["--tables", str(download / "participants.csv"), "--images", str(download / "imaging")]
    key = ["--key-file", str(download.parent / "key")]
    return ["prepare", *tables, *key, "--output", str(output), *KIND, *IMAGE, *more]


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# Parts of four images, so that a run of forty can be cut at many places. A cohort is prepared without loading networks,
# which would take longer than reading the images does.
SCRIPT = """
import sys
from dymo_med.data.frames import parts
from dymo_med.cli import main
parts.MAX_IMAGES = 4
sys.exit(main(sys.argv[1:]) or int("monai" in sys.modules))
"""


def start(arguments):
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path]))
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def undisturbed(download):
    output = download.parent / "undisturbed"
    assert start(words(download, output)).wait() == 0
    return content(output)


@pytest.mark.slow
def test_a_killed_run_started_again_gives_the_same_bytes(download, undisturbed, tmp_path):
    """Killed once a random number of files has appeared, several times, and then left alone."""
    rng = random.Random(0)
    output, n_killed = tmp_path / "cohort", 0
    for _ in range(3):
        process = start(words(download, output))
        wanted = len(content(output)) + rng.randint(1, 9) if output.exists() else rng.randint(1, 9)
        while process.poll() is None and (not output.exists() or len(list(output.rglob("*"))) < wanted):
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            n_killed += 1
        process.wait()
    assert n_killed >= 2
    assert start(words(download, output)).wait() == 0
    assert content(output) == undisturbed


@pytest.mark.slow
def test_shards_killed_and_started_again_give_the_same_bytes(download, undisturbed, tmp_path):
    output = tmp_path / "cohort"
    both = [start(words(download, output, "--shard", f"{number}/2")) for number in (1, 2)]
    while not list(output.rglob("*.npy")) and both[0].poll() is None:
        time.sleep(0.002)
    both[0].kill()
    assert both[0].wait() != 0
    assert both[1].wait() == 0
    assert not (output / "cohort.json").exists()
    assert start(words(download, output)).wait() == 0
    assert content(output) == undisturbed
