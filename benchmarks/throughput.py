"""Subjects per second of a bundle's inference over a cohort, against the inferer called on batches in memory.

``make benchmark-throughput``; ``--help`` lists the options. The cohort holds random images and random tables, half of
the subjects have none; it is written by the cohort's own writer from arrays, so that reading cine files is no part of
this. Weights are random. Writes ``runs/benchmarks/throughput.json`` and prints it.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from monai.engines import SupervisedEvaluator
from monai.inferers import Inferer

from benchmarks.cases import CARDIAC_CARDINALITIES
from benchmarks.timing import machine
from dymo_med.data.cohort import Cohort, write_cohort
from dymo_med.tabular import Column
from dymo_med.utils import save_weights, write_json

CONFIGS = Path(__file__).parents[1] / "bundles/ukbb_cardiac_cad_classification/configs"
N_NUMBERS = 49


def random_cohort(folder: Path, n_subjects: int, image_size: int) -> Cohort:
    """Write a cohort of random numbers with as many columns as the cardiac table."""
    rng = np.random.default_rng(0)
    subjects = [f"S{number:05d}" for number in range(n_subjects)]
    features, columns = {}, []
    for index, n in enumerate(CARDIAC_CARDINALITIES):
        levels = tuple(f"level {level}" for level in range(n))
        columns.append(Column(name=f"category_{index}", kind="categorical", categories=levels))
        features[f"category_{index}"] = rng.choice(levels, n_subjects)
    for index in range(N_NUMBERS):
        columns.append(Column(name=f"number_{index}", kind="continuous"))
        features[f"number_{index}"] = rng.normal(size=n_subjects)
    sources = {subject: folder / "sources" / subject for subject in subjects}
    (folder / "sources").mkdir(parents=True)
    for source in sources.values():
        source.touch()  # the writer asks files for their size and date

    def read(source: Path) -> tuple[np.ndarray, dict[str, Any]]:
        seed = int(source.name[1:])
        return np.random.default_rng(seed).random((3, image_size, image_size), np.float32), {}

    return write_cohort(
        folder / "cohort",
        features=pd.DataFrame(features, index=pd.Index(subjects, name="subject_id"))[::2],
        columns=columns,
        images=sources,
        labels=pd.DataFrame({"cad": np.arange(n_subjects) % 2}, index=subjects),
        splits=pd.Series("train", index=subjects),
        image_size=image_size,
        data_kind="simulated",
        read=read,
    )


def prepared_workflow(folder: Path, cohort: Cohort, sizes: str, **overrides: Any) -> ConfigWorkflow:
    """Save random weights with class statistics and give the bundle's inference on the cohort."""
    names = ["train.yaml", "inference.yaml", *(["small.yaml"] if sizes == "small" else [])]
    workflow = ConfigWorkflow(
        [str(CONFIGS / name) for name in names],
        workflow_type="inference",
        logging_file=False,
        bundle_root=str(folder),
        dataset_dir=str(cohort.folder),
        batch_size=32,
        **overrides,
    )
    workflow.initialize()
    network = workflow.parser.get_parsed_content("network_def")
    statistics = network.statistics
    statistics.overall.normal_()
    statistics.prototypes.normal_()
    statistics.std.fill_(100.0)
    statistics.is_fitted.fill_(True)
    save_weights(folder / "models/model.pt", network.state_dict())
    save_weights(folder / "models/tip.pt", workflow.parser.get_parsed_content("recovery_def").state_dict())
    return workflow


class TimedInferer(Inferer):
    """Adds up the seconds that an inferer takes."""

    def __init__(self, inferer: Inferer) -> None:
        super().__init__()
        self.inferer = inferer
        self.seconds = 0.0

    def __call__(self, inputs, network, *args, **kwargs):
        """Call it."""
        start = time.perf_counter()
        output = self.inferer(inputs, network, *args, **kwargs)
        self.seconds += time.perf_counter() - start
        return output


def run_loop(evaluator: SupervisedEvaluator, every: int = 500) -> dict[str, Any]:
    """Run an evaluator and time its loop, the inferer in it, and all of it; note memory after so many subjects each."""
    memory: list[float] = []
    marks: dict[str, float] = {}
    done = 0

    def count(engine: Engine) -> None:
        nonlocal done
        before, done = done, done + len(engine.state.batch["image"])
        if before // every < done // every:
            memory.append(round(private_mib(), 1))

    inferer = TimedInferer(evaluator.inferer)
    evaluator.inferer = inferer
    evaluator.add_event_handler(Events.EPOCH_STARTED, lambda: marks.update(start=time.perf_counter()))
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, count)
    evaluator.add_event_handler(Events.EPOCH_COMPLETED, lambda: marks.update(end=time.perf_counter()))
    start = time.perf_counter()
    evaluator.run()
    whole = time.perf_counter() - start
    evaluator.inferer = inferer.inferer
    loop = marks["end"] - marks["start"]
    return {"loop_s": loop, "inferer_s": inferer.seconds, "whole_s": whole, "memory_mib": memory, "n": done}


@torch.no_grad()
def run_bare(evaluator: SupervisedEvaluator, n_batches: int) -> float:
    """Give seconds per subject of the inferer alone, on the first batches, held in memory."""
    batches = [batch for batch, _ in zip(evaluator.data_loader, range(n_batches), strict=False)]
    inputs = [evaluator.prepare_batch(batch, torch.device("cpu"), False) for batch in batches]
    start = time.perf_counter()
    for image, _, _, kwargs in inputs:
        evaluator.inferer(image, evaluator.network, **kwargs)
    return (time.perf_counter() - start) / sum(len(image) for image, *_ in inputs)


def private_mib() -> float:
    """Give the memory that belongs to this process alone (Linux); images are mapped files and do not count."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def measure(folder: Path, n_subjects: int, sizes: str, n_bare_batches: int, **overrides: Any) -> dict[str, Any]:
    """Measure one cohort; the share of the loop in the inferer is the loop's speed over that of the bare inferer."""
    cohort = random_cohort(folder, n_subjects, 64 if sizes == "small" else 128)
    evaluator = prepared_workflow(folder, cohort, sizes, **overrides).parser.get_parsed_content("evaluator")
    run_bare(evaluator, 1)
    bare = run_bare(evaluator, n_bare_batches)
    loop = run_loop(evaluator, every=max(n_subjects // 4, 1))
    return {
        "n_subjects": n_subjects,
        "sizes": sizes,
        "bare_subjects_per_s": round(1 / bare, 1),
        "loop_subjects_per_s": round(loop["n"] / loop["loop_s"], 1),
        "whole_run_subjects_per_s": round(loop["n"] / loop["whole_s"], 1),
        "share_of_loop_in_inferer": round(loop["inferer_s"] / loop["loop_s"], 3),
        "private_memory_mib_at_quarters": loop["memory_mib"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=2000)
    parser.add_argument("--sizes", choices=["small", "published"], default="small")
    parser.add_argument("--bare-batches", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/throughput.json"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.subjects, options.sizes, options.bare_batches)
    write_json(options.output, {"machine": machine(), **result})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
