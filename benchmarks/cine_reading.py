"""Subjects per second of the cine reader, against the bare cost of the zip and of the pixels that are needed.

``make benchmark-cine_reading``; ``--help`` lists the options. Simulated zips of real size (10 slices, 50 frames, 208 x
168 pixels of 16 bit), stored and deflated. *Bare* reads the file into memory and decodes with pydicom the frames that
the reader decodes, without looking at any other file in the zip. All take turns, subject by subject. Then as many
subjects are prepared by one process and by two, started beforehand; what two would gain if no other work ran is told by
the processor time per subject. Writes ``runs/benchmarks/cine_reading.json``.
"""

import argparse
import io
import json
import statistics
import tempfile
import time
import zipfile
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pydicom
from numpy.typing import NDArray

from benchmarks.timing import machine
from dymo_med.data.cine import dicom
from dymo_med.data.cine.headers import FrameHeader
from dymo_med.data.cine.pixels import decode_frame
from dymo_med.data.cohort import read_model_image
from dymo_med.data.parallel import map_in_order
from dymo_med.data.synthetic import PhantomImageSize, write_phantom_download
from dymo_med.utils import write_json

REAL = PhantomImageSize(n_slices=10, n_frames=50, rows=208, columns=168)
read = partial(read_model_image, size=128, spacing_mm=1.8)


def zips(folder: Path, n_subjects: int, image: PhantomImageSize) -> dict[str, list[Path]]:
    """Simulate scans as zips of stored members, and pack them again with deflate."""
    write_phantom_download(folder / "stored", n_subjects=n_subjects, seed=0, image=image)
    stored = sorted((folder / "stored").rglob("*.zip"))
    deflated = [folder / "deflated" / path.name for path in stored]
    (folder / "deflated").mkdir()
    for source, target in zip(stored, deflated, strict=True):
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
            for info in old.infolist():
                new.writestr(info.filename, old.read(info))
    return {"stored": stored, "deflated": deflated}


def needed_members(path: Path) -> list[str]:
    """Name the files in a zip whose pixels the reader decodes, without those opened for their header alone."""
    names: list[str] = []

    def noted(content: bytes, header: FrameHeader) -> NDArray[np.float32]:
        names.append(header.member)
        return decode_frame(content, header)

    with mock.patch.object(dicom, "decode_frame", noted):
        read(path)
    return names


def bare(path: Path, names: list[str]) -> None:
    """Do the least that anybody must."""
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        for name in names:
            _ = pydicom.dcmread(io.BytesIO(archive.read(name))).pixel_array


def against_bare(paths: list[Path], repetitions: int) -> dict[str, Any]:
    """Take turns; give medians over subjects and repetitions, of wall time and of the time on the processor."""
    needed = {path: needed_members(path) for path in paths}
    wall: dict[str, list[float]] = {"reader": [], "bare": []}
    processor: dict[str, list[float]] = {"reader": [], "bare": []}
    for _ in range(repetitions):
        for path in paths:
            for name, call in (("reader", partial(read, path)), ("bare", partial(bare, path, needed[path]))):
                start, start_processor = time.perf_counter(), time.process_time()
                call()
                wall[name].append(time.perf_counter() - start)
                processor[name].append(time.process_time() - start_processor)
    middle = {name: statistics.median(values) for name, values in wall.items()}
    busy = {name: statistics.median(values) for name, values in processor.items()}
    return {
        "frames_decoded": statistics.median(map(len, needed.values())),
        "subjects_per_s": round(1 / middle["reader"], 2),
        "bare_subjects_per_s": round(1 / middle["bare"], 2),
        "times_bare": round(middle["reader"] / middle["bare"], 2),
        "times_bare_processor_time": round(busy["reader"] / busy["bare"], 2),
    }


def processor_time_of(path: Path) -> float:
    """Read a subject; give the seconds that it kept a processor busy."""
    start = time.process_time()
    read(path)
    return time.process_time() - start


def speed_of(paths: list[Path], n_workers: int, n_warm: int) -> tuple[float, float]:
    """Give subjects per second once every process has read something, and seconds of one processor per subject."""
    results = map_in_order(processor_time_of, [*paths[:n_warm], *paths], n_workers=n_workers)
    for _ in range(n_warm):
        next(results)
    start = time.perf_counter()
    busy = list(results)
    return len(busy) / (time.perf_counter() - start), statistics.median(busy)


def measure(folder: Path, n_subjects: int, repetitions: int, image: PhantomImageSize) -> dict[str, Any]:
    """Measure all there is."""
    paths = zips(folder, n_subjects, image)
    result: dict[str, Any] = {name: against_bare(group, repetitions) for name, group in paths.items()}
    many = paths["deflated"] * max(1, 40 // n_subjects)
    n_warm = min(16, len(many))  # results come in order and a few ahead: this many are under way before time starts
    rounds = [{n: speed_of(many, n, n_warm) for n in (1, 2)} for _ in range(max(1, repetitions // 2))]
    speeds = {n: statistics.median(one[n][0] for one in rounds) for n in (1, 2)}
    busy = {n: statistics.median(one[n][1] for one in rounds) for n in (1, 2)}
    result["processes"] = {
        "subjects_per_s": {str(n): round(speed, 2) for n, speed in speeds.items()},
        "two_against_one": round(speeds[2] / speeds[1], 2),
        "two_against_one_if_nobody_else_ran": round(2 * busy[1] / busy[2], 2),
    }
    return result


def main(arguments: list[str] | None = None) -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--repetitions", type=int, default=6)
    parser.add_argument("--frames", type=int, default=REAL.n_frames)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/cine_reading.json"))
    options = parser.parse_args(arguments)
    image = PhantomImageSize(n_slices=10, n_frames=options.frames, rows=REAL.rows, columns=REAL.columns)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.subjects, options.repetitions, image)
    write_json(options.output, {"machine": machine(), **result})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
