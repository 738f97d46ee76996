"""Damaged files end in a result or in one clear line; ``make fuzz`` reads 2,000 of them."""

import contextlib
import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest

from dymo_med.cli import main
from dymo_med.data.cohort import Cohort
from tests.fuzz import mutations as mutate
from tests.fuzz.campaign import _read, run
from tests.fuzz.guards import WATCH, Hang, time_limit
from tests.fuzz.targets import EID, Target

N_FILES = int(os.environ.get("DYMO_MED_FUZZ", "300"))
MOST_MEMORY_MIB = 600


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function _read_text"
)  # rows that are not UTF-8, refused later
def test_damaged_files_end_in_a_result_or_in_one_line(tmp_path):
    report = run(N_FILES, tmp_path)
    assert report.faults == []
    assert sum(report.outcomes.values()) == N_FILES
    assert {outcome for _, outcome in report.outcomes} == {"read", "refused"}
    assert report.growth_mib < MOST_MEMORY_MIB


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    """A download of 24 subjects, and the cohort of the sound ones."""
    folder = tmp_path_factory.mktemp("faults")
    size = ["--n-slices", "3", "--n-frames", "8", "--rows", "40", "--columns", "40"]
    assert main(["synth", "--output", str(folder / "download"), "--n-subjects", "24", "--seed", "5", *size]) == 0
    key = folder / "keys" / "key"
    key.parent.mkdir()
    key.write_text("5a" * 32 + "\n")
    key.chmod(0o600)
    assert prepare(folder, folder / "download" / "imaging", "sound") == 0
    return folder


def prepare(folder, images, output):
    words = ["prepare", "--tables", str(folder / "download" / "participants.csv"), "--images", str(images)]
    words += ["--output", str(folder / output), "--key-file", str(folder / "keys" / "key"), "--image-size", "24"]
    return main([*words, "--data-kind", "simulated", "--image-spacing", "4", "--labels", "cad"])


@pytest.mark.slow
def test_each_faulty_image_costs_its_subject_alone(download, capfd):
    images = shutil.copytree(download / "download" / "imaging", download / "damaged")
    paths, rng = sorted(images.rglob("*.zip")), np.random.default_rng(0)
    damages = [mutate.cut, mutate.noise, lambda *_: b"", lambda content, _: content[:-1]]
    for path, damage in zip(paths[:12], damages * 3, strict=True):
        path.write_bytes(damage(path.read_bytes(), rng))
    capfd.readouterr()
    assert prepare(download, images, "partly") == 0
    sound, partly = Cohort(download / "sound"), Cohort(download / "partly")
    aside = partly.set_aside
    assert len(aside) == 12
    assert set(aside["stage"]) == {"image"}
    assert aside["reason"].str.contains("in the cine zip: ").all()
    assert len(sound.set_aside) == 0
    assert set(partly.subjects.index) == set(sound.subjects.index) - set(aside["subject_id"])
    for subject in partly.subjects.index:
        np.testing.assert_array_equal(partly.read_image(subject), sound.read_image(subject))
    told = "".join(capfd.readouterr())
    assert not any(path.name.split("_")[0] in told + " ".join(aside["reason"]) for path in paths)


@pytest.mark.slow
def test_each_faulty_row_costs_its_subject_alone(download):
    table = pd.read_csv(download / "download" / "participants.csv", dtype="str", keep_default_na=False)
    for row, column, text in [(1, "21001-2.0", "see notes"), (3, "20116-2.0", "77"), (5, "21001-2.0", "1e999")]:
        table.loc[row, column] = text
    sound = (download / "download" / "participants.csv").read_bytes()
    try:
        table.to_csv(download / "download" / "participants.csv", index=False)
        assert prepare(download, download / "download" / "imaging", "rows") == 0
    finally:
        (download / "download" / "participants.csv").write_bytes(sound)
    aside = Cohort(download / "rows").set_aside
    assert len(aside) == 3
    assert set(aside["stage"]) == {"table"}


def target(read, faults=(ValueError,)):
    return Target("a kind", 1.0, None, read, faults)


def test_campaign_notices_hangs_crashes_ids_and_several_lines(tmp_path, monkeypatch):
    def fail(error):
        def read(path):
            raise error

        return read

    monkeypatch.setattr("tests.fuzz.campaign.SECONDS_PER_FILE", 0.2)
    assert _read(target(lambda _: time.sleep(5)), tmp_path, tmp_path) == ("hang", "not done after 0.2 s")
    assert _read(target(fail(KeyError("x"))), tmp_path, tmp_path) == ("crash", "KeyError: 'x'")
    assert _read(target(fail(RecursionError("x"))), tmp_path, tmp_path)[0] == "crash"
    assert _read(target(fail(ValueError("one line"))), tmp_path, tmp_path) == ("refused", "")
    assert _read(target(lambda _: None), tmp_path, tmp_path) == ("read", "")
    assert _read(target(fail(ValueError("two\nlines"))), tmp_path, tmp_path)[1] == "no single line: 'two\\nlines'"
    assert _read(target(fail(ValueError(f"subject {EID}"))), tmp_path, tmp_path)[1] == "a registry id is told"


def test_time_limit_is_swallowed_by_nothing():
    def stubborn():
        while True:
            with contextlib.suppress(Exception):
                time.sleep(0.01)

    with pytest.raises(Hang), time_limit(0.1):
        stubborn()


def test_writes_elsewhere_are_noticed(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    with WATCH.only(inside):
        (inside / "a").write_text("x")
        (inside / "a").read_text()
    assert WATCH.outside == []
    with WATCH.only(inside):
        (outside / "a").write_text("x")
        (outside / "a").read_text()
        (outside / "a").rename(outside / "b")
        (outside / "c").mkdir()
    found, WATCH.outside = WATCH.outside, []
    assert [line.split()[0] for line in found] == ["open", "os.rename", "os.rename", "os.mkdir"]


def test_files_of_a_seed_are_the_same_each_time():
    for damage in mutate.BLIND:
        content = bytes(range(256)) * 20
        assert damage(content, np.random.default_rng(7)) == damage(content, np.random.default_rng(7))
        assert damage(content, np.random.default_rng(7)) != content
