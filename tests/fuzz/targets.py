"""What reads the damaged files: the readers themselves and the commands that people type."""

import contextlib
import gzip
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dymo_med.cli import main
from dymo_med.data.cine import EDESPair
from dymo_med.data.cohort import Cohort, read_model_image
from dymo_med.data.ukbb.id_lists import read_withdrawn
from dymo_med.tabular import TabularSchema
from dymo_med.utils import SubjectError
from tests.data.cine.scans import members, true_affine, volume
from tests.fuzz import mutations as mutate

EID = "9000123"
COHORT_FAULTS = (ValueError, OSError)


@dataclass(frozen=True)
class Target:
    """A kind of file: how it is made, who reads it, what may be raised."""

    name: str
    weight: float
    make: Callable
    read: Callable
    faults: tuple[type[BaseException], ...] = (SubjectError,)


class CommandError(ValueError):
    """What a command wrote to the error stream before it ended with code 2."""


class Material:
    """Sound files to begin with, made once: a zip, volumes, and a simulated download with its cohort."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.key = self.folder / "keys" / "key"  # fixed, for pseudonyms decide who is in which split
        self.key.parent.mkdir(parents=True)
        self.key.write_text("5a" * 32 + "\n")
        self.key.chmod(0o600)
        rng = np.random.default_rng(0)
        self.zips = [mutate.rezip(members(mutate.SMALL), rng) for _ in range(2)]
        self.cine = volume(mutate.SMALL)
        self.affine = true_affine(mutate.SMALL)
        self.download, self.cohort = self.folder / "download", self.folder / "cohort"
        size = ["--n-slices", "1", "--n-frames", "8", "--rows", "40", "--columns", "40"]
        quietly("synth", "--output", self.download, "--n-subjects", "30", "--seed", "4", *size)
        self.prepare(self.download / "participants.csv", self.cohort)
        self.rows = (self.download / "participants.csv").read_bytes()

    def prepare(self, table, output):
        words = ["--tables", table, "--images", self.download / "imaging", "--output", output, "--labels", "cad"]
        words += ["--key-file", self.key, "--data-kind", "simulated", "--image-size", "24"]
        quietly("prepare", *words, "--image-spacing", "4", "--fractions", "0.5", "0.25", "0.25")


def quietly(*words):
    """Run a command; what it says when it fails becomes the text of an error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    if EID in out.getvalue() + err.getvalue():
        raise AssertionError(f"a registry id was told: {out.getvalue()} {err.getvalue()}")
    if code:
        said = err.getvalue().removesuffix("\n")
        if said.startswith("Exception ignored in: <function _read_text"):  # pyarrow, of a further row that is not UTF-8
            said = said[said.index("dymo-med: error: ") :]
        raise CommandError(said)


def read_image(path):
    image, details = read_model_image(path, size=32, spacing_mm=4.0)
    assert image.shape == (3, 32, 32)
    assert np.isfinite(image).all()
    assert 0 <= image.min() <= image.max() <= 1
    assert EID not in str(details)


def read_withdrawn_list(path):
    read_withdrawn([path])


def targets(material):
    """All targets over this material; a maker gets a random generator and an empty folder."""

    def blind_zip(rng, folder):
        content = material.zips[rng.integers(2)]
        damage = mutate.forge_directory if rng.random() < 0.5 else mutate.blindly
        return put(folder / f"{EID}_20209_2_0.zip", damage(content, rng))

    def dicom_zip(rng, folder):
        return put(folder / f"{EID}_20209_2_0.zip", mutate.dicom_zip(mutate.SMALL, rng))

    def nifti(rng, folder):
        if rng.random() < 0.3:
            pair = [
                put(folder / name, mutate.nifti(material.cine[..., 0], material.affine, rng))
                for name in ("a.nii", "b.nii")
            ]
            return EDESPair(ed=pair[0], es=pair[1])
        content = mutate.nifti(material.cine, material.affine, rng)
        if rng.random() < 0.5:
            return put(folder / "a.nii", content)
        packed = gzip.compress(content, 1)
        return put(folder / "a.nii.gz", mutate.blindly(packed, rng) if rng.random() < 0.5 else packed)

    def table(rng, folder):
        content = mutate.csv_text(material.rows, rng)
        if rng.random() < 0.2:
            return put(folder / "t.csv.gz", mutate.blindly(gzip.compress(content), rng))
        return put(folder / "t.csv", content)

    def withdrawn(rng, folder):
        content = b"".join(b"%d\n" % eid for eid in range(9000000, 9000005))
        if rng.random() < 0.3:
            return put(folder / "w.csv.gz", mutate.blindly(gzip.compress(content), rng))
        return put(folder / "w.csv", mutate.csv_text(content, rng))

    def damaged_cohort(rng, folder):
        cohort = shutil.copytree(material.cohort, folder / "cohort")
        files = sorted(path for path in cohort.rglob("*") if path.is_file())
        path = files[rng.integers(len(files))]
        damage = mutate.json_text if path.suffix == ".json" else mutate.blindly
        put(path, damage(path.read_bytes(), rng))
        return cohort

    def schema(rng, folder):
        return put(folder / "schema.json", mutate.json_text((material.cohort / "schema.json").read_bytes(), rng))

    def read_cohort(path):
        cohort = Cohort(path)
        for item in cohort.items():
            if item["image"] is not None:
                cohort.read_image(item["image"])
        assert len(cohort.set_aside) >= 0

    def run_prepare(path):
        material.prepare(path, path.parent / "out")
        read_cohort(path.parent / "out")

    return [
        Target("zip bytes", 0.34, blind_zip, read_image),
        Target("DICOM in a zip", 0.34, dicom_zip, read_image),
        Target("NIfTI", 0.15, nifti, read_image),
        Target("participant table", 0.04, table, run_prepare, COHORT_FAULTS),
        Target("withdrawal list", 0.04, withdrawn, read_withdrawn_list, COHORT_FAULTS),
        Target("cohort file", 0.08, damaged_cohort, read_cohort, COHORT_FAULTS),
        Target("schema", 0.05, schema, TabularSchema.from_json, COHORT_FAULTS),
    ]


def put(path, content):
    path.write_bytes(content)
    return path
