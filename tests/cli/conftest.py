"""A simulated download and the cohort prepared from it, by the command itself."""

import pytest

from dymo_med.cli import main
from dymo_med.data.cohort import Cohort

IMAGE = ("--image-size", "24", "--image-spacing", "4")
KIND = ("--data-kind", "simulated")


def prepare(download, output, *more):
    words = ["prepare", "--tables", str(download / "participants.csv"), "--images", str(download / "imaging")]
    return main([*words, "--output", str(output), "--key-file", str(download.parent / "keys" / "key"), *KIND, *more])


@pytest.fixture(scope="session")
def download(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "download"
    size = ["--n-slices", "1", "--n-frames", "8", "--rows", "40", "--columns", "40"]
    rates = ["--table-absent-rate", "0.2", "--image-absent-rate", "0.2"]
    assert main(["synth", "--output", str(folder), "--n-subjects", "24", "--seed", "3", *size, *rates, "--faults"]) == 0
    return folder


@pytest.fixture(scope="session")
def trained(download):
    output = download.parent / "trained"
    assert prepare(download, output, *IMAGE) == 0
    return Cohort(output)
