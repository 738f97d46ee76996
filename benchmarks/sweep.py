"""Encoder passes and time of a sweep over missing patterns, on a sample of a cohort of the published size.

``make benchmark-sweep``; ``--help`` lists the options. Subjects are random numbers, weights are random, sizes are the
published ones. Three things are told apart. *Measured*: time and encoder passes of a sweep over ``--sample`` subjects.
*Computed*: from the masks alone, how many different states of the table all ``--subjects`` have, and so how many passes
their sweep makes; for the sample this must equal what was counted. *Scaled*: time per 1,000 subjects, as every subject
takes the time of the sampled ones. Writes ``runs/benchmarks/sweep.json`` and prints it.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cases import PUBLISHED, TINY, Sizes, cardiac_batch, cardiac_network, cardiac_tip, counted_rows
from benchmarks.timing import machine
from dymo_med.evaluation.policy_choice import policy_grid
from dymo_med.evaluation.sweep import Cell, Mechanism, cells_of, sweep
from dymo_med.evaluation.sweep.cells import hide
from dymo_med.inferers import Policy
from dymo_med.networks import prepare_for_inference
from dymo_med.recovery import IterativeRecovery, MeanModeRecovery, Recovery, TIPRecovery
from dymo_med.utils import write_json

RATES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
SEEDS = (1, 2, 3)
SITUATIONS = {"image whole, table absent": math.inf, "image whole, table under half": 0.02, "otherwise": 0.0}
STRATEGIES = {
    "discard": Policy("discard"),
    "fuse_all": Policy("fuse_all"),
    "simultaneous": Policy("simultaneous"),
    "greedy": Policy("greedy"),
    "greedy_ratio": Policy("greedy", "ratio"),
    "greedy_log_ratio": Policy("greedy", "log_ratio"),
    "auto": Policy("greedy", "ratio", SITUATIONS),
}
"""The strategies of the bundle's sweep; a policy that was chosen has a threshold for every situation."""


def mechanisms_of(n_columns: int) -> dict[str, Mechanism]:
    """Give three mechanisms: random values, random columns, the most important columns."""
    order = np.random.default_rng(0).permutation(n_columns).tolist()
    return {
        "random value": Mechanism("table", "value"),
        "random column": Mechanism("table", "column"),
        "most important columns": Mechanism("table", "ranked", order=order),
    }


def names_of(n_subjects: int) -> list[str]:
    """Name subjects."""
    return [f"S{number:05d}" for number in range(n_subjects)]


def states_of(subjects: Sequence[str], n_columns: int, cells: Sequence[Cell], mechanisms: Mapping[str, Mechanism]):
    """Give for every subject the different states of its table, as bytes of the mask; nothing is absent by nature."""
    none = np.zeros((1, n_columns), dtype=bool)
    return [
        {hide(cell, mechanisms[cell.mechanism], [subject], none).tobytes() for cell in cells} for subject in subjects
    ]


def passes_of(states: Sequence[set[bytes]], n_recoveries: int, n_of_a_part: int = 0) -> dict[str, int]:
    """Say how many samples pass through each encoder if images go through once and tables once a state and proposal.

    A table of which nothing is left is not encoded, nor is one of which nothing is missing recovered. Of the
    recoveries ``n_of_a_part`` propose nothing for a table of which nothing is left.
    """
    with_some = sum(b"\x00" in state for own in states for state in own)
    with_gaps = sum(b"\x01" in state for own in states for state in own)
    with_both = sum({0, 1} == set(state) for own in states for state in own)
    return {
        "network image": len(states),
        "network table": with_some + (n_recoveries - n_of_a_part) * with_gaps + n_of_a_part * with_both,
        "TIP image": len(states),
        "TIP table": with_gaps,
    }


def recoveries_of(names: str, tip: Recovery, sizes: Sizes) -> dict[str, list[Recovery]]:
    """Give the sets of recoveries: TIP alone, or three recoveries, each alone and all in competition."""
    if names == "tip":
        return {"tip": [tip]}
    table = cardiac_batch(sizes, 200)["table"]
    several: list[Recovery] = [tip]
    for kind in (IterativeRecovery, MeanModeRecovery):
        recovery = kind("table", sizes.cardinalities, sizes.n_numbers)
        recovery.fit(table, torch.zeros(table.shape, dtype=torch.bool))
        several.append(recovery)
    return {each.name: [each] for each in several} | {"all": several}


def batches_of(n_subjects: int, batch_size: int, sizes: Sizes) -> list[dict[str, Any]]:
    """Make batches of complete subjects."""
    content = cardiac_batch(sizes, n_subjects)
    none = torch.zeros(n_subjects, len(sizes.cardinalities) + sizes.n_numbers, dtype=torch.bool)
    whole = content | {"image_missing": none[:, 0], "table_missing": none, "label": torch.arange(n_subjects) % 2}
    whole["subject_id"] = names_of(n_subjects)
    return [
        {key: values[start : start + batch_size] for key, values in whole.items()}
        for start in range(0, n_subjects, batch_size)
    ]


def measure(
    n_sample: int, n_subjects: int, sizes: Sizes, *, recoveries: str = "tip", policies: str = "strategies"
) -> dict[str, Any]:
    """Sweep a sample; count passes, take the time, and compute the passes of everybody from masks."""
    torch.manual_seed(0)
    trained, trained_tip = cardiac_network(sizes), cardiac_tip(sizes)
    statistics = trained.statistics
    statistics.overall.normal_()
    statistics.prototypes.normal_()
    statistics.std.fill_(100.0)
    statistics.is_fitted.fill_(True)
    network, tip = prepare_for_inference(trained), prepare_for_inference(trained_tip)
    sets = recoveries_of(recoveries, TIPRecovery(tip), sizes)
    tried = STRATEGIES if policies == "strategies" else policy_grid()
    n_columns = len(sizes.cardinalities) + sizes.n_numbers
    mechanisms = mechanisms_of(n_columns)
    cells = cells_of(mechanisms, RATES, SEEDS)
    batches = batches_of(n_sample, 16, sizes)
    states = states_of(names_of(n_subjects), n_columns, cells, mechanisms)
    different = list({id(each): each for group in sets.values() for each in group}.values())
    kinds = len(different), sum(isinstance(each, IterativeRecovery) for each in different)
    encoders = {f"network {name}": encoder for name, encoder in network.encoders.items()}
    embedding = tip.encoder_tabular.norm  # its first layers: TIP takes the class token along, by a call of its own
    encoders |= {"TIP image": tip.encoder_imaging, "TIP table": embedding}
    with tempfile.TemporaryDirectory() as folder, counted_rows(encoders) as counts:
        start, start_processor = time.perf_counter(), time.process_time()
        sweep(
            network,
            batches,
            folder,
            mechanisms=mechanisms,
            rates=RATES,
            seeds=SEEDS,
            recoveries=sets,
            policies=tried,
        )
        wall, processor = time.perf_counter() - start, time.process_time() - start_processor
    expected = passes_of(states[:n_sample], *kinds)
    if counts != expected:
        raise RuntimeError(f"a sweep encodes each state once, however: {counts}, from the masks {expected}")
    n_states = [len(own) for own in states]
    return {
        "measured": {
            "subjects": n_sample,
            "cells": len(cells),
            "sets_of_recoveries": list(sets),
            "policies": len(tried),
            "predictions": n_sample * len(cells) * len(sets) * len(tried),
            "passes_per_subject": {name: n / n_sample for name, n in counts.items()},
            "wall_s": round(wall, 1),
            "processor_s": round(processor, 1),
        },
        "computed": {
            "subjects": n_subjects,
            "states_of_the_table": sum(n_states),
            "states_per_subject": [min(n_states), sum(n_states) / n_subjects, max(n_states)],
            "passes": passes_of(states, *kinds),
        },
        "scaled": {
            "wall_s_per_1000_subjects": round(1000 * wall / n_sample),
            "processor_s_per_1000_subjects": round(1000 * processor / n_sample),
            "wall_h_of_all_subjects": round(n_subjects * wall / n_sample / 3600, 2),
            "processor_h_of_all_subjects": round(n_subjects * processor / n_sample / 3600, 2),
        },
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=3617, help="subjects of the cohort (%(default)s)")
    parser.add_argument("--sample", type=int, default=16, help="subjects that are swept (%(default)s)")
    parser.add_argument("--sizes", choices=["published", "tiny"], default="published")
    parser.add_argument("--recoveries", choices=["tip", "all"], default="tip")
    parser.add_argument("--policies", choices=["strategies", "grid"], default="strategies")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/sweep.json"))
    options = parser.parse_args(arguments)
    sizes = {"published": PUBLISHED, "tiny": TINY}[options.sizes]
    result = measure(options.sample, options.subjects, sizes, recoveries=options.recoveries, policies=options.policies)
    write_json(options.output, {"machine": machine(), **result})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
