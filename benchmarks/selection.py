"""Time of a selection against a plain forward pass, a recovery, and a selection without any saving.

``make benchmark-selection``; ``--help`` lists the options. Writes ``runs/benchmarks/selection.json`` and prints a
table.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import (
    PUBLISHED,
    Case,
    Sizes,
    cardiac_case,
    counted_rows,
    on_device,
    pictures_case,
    positive_share,
)
from benchmarks.naive import naive_select
from benchmarks.timing import interleaved, machine, summary
from dymo_med.utils import write_json

CASES: dict[str, Callable[[int | None, Sizes], Case]] = {
    "a": lambda batch, sizes: cardiac_case("image + table, whole table missing", 1.0, batch or 32, sizes),
    "b": lambda batch, sizes: cardiac_case("image + table, half of the cells missing", 0.5, batch or 32, sizes),
    "c": lambda batch, sizes: pictures_case("5 pictures, 1 observed", 5, 1, batch or 64, sizes),
    "d": lambda batch, sizes: pictures_case("8 pictures, 2 observed", 8, 2, batch or 64, sizes),
}


@torch.no_grad()
def measure(case: Case, repetitions: int) -> dict[str, Any]:
    """Measure one case.

    Returns:
        Times of the four calls, ratios of their medians, encoder passes, and what was decided.
    """
    has_cost = case.name.startswith("image")
    proposals = case.recover()

    def naive() -> torch.Tensor:
        return naive_select(case, case.recover() if has_cost else proposals)

    functions = {"plain": case.plain, "recovery": case.recover, "naive": naive, "selection": case.select}
    seconds = interleaved(functions, repetitions)
    times = {name: summary(values) for name, values in seconds.items()}
    middle = {name: times[name]["median_ms"] for name in times}
    with counted_rows(case.network.encoders) as rows:
        selection = case.select()
    reference = middle["plain"] + (middle["recovery"] if has_cost else 0.0)
    same = (naive() == (selection.trace.variants > 0)).all(1).float().mean()
    on_gpu = next(iter(case.missing.values())).is_cuda
    return {
        "name": case.name,
        "batch_size": case.batch_size,
        "times": times,
        "selection_over_plain_and_recovery": round(middle["selection"] / reference, 3),
        "naive_over_selection": round(middle["naive"] / middle["selection"], 2),
        "encoder_rows": rows,
        "rewards": [int((~step.reward.isnan()).sum()) for step in selection.trace.steps],
        "positive_share": round(positive_share(selection), 3),
        "same_choice_as_naive": round(float(same), 4),
        "peak_gpu_mib": round(torch.cuda.max_memory_allocated() / 2**20) if on_gpu else None,
    }


def main(arguments: list[str] | None = None, sizes: Sizes = PUBLISHED) -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=sorted(CASES), default=sorted(CASES))
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--batch-size", type=int, help="samples in a batch; without it 32 for (a, b), 64 for (c, d)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--compiled", action="store_true", help="compile the blocks")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/selection.json"))
    options = parser.parse_args(arguments)
    results = {}
    for key in options.cases:
        case = on_device(CASES[key](options.batch_size, sizes), options.device, options.dtype, options.compiled)
        results[key] = measure(case, options.repetitions)
        print(as_text(key, results[key]), flush=True)
    settings = {name: getattr(options, name) for name in ("repetitions", "device", "dtype", "compiled")}
    write_json(options.output, {"machine": machine(), **settings, "cases": results})


def as_text(key: str, result: dict[str, Any]) -> str:
    """Give a case as lines of a table."""
    lines = [f"({key}) {result['name']}, batch {result['batch_size']}"]
    for name, time in result["times"].items():
        lines.append(f"    {name:<10}{time['median_ms']:>10.1f} ms   ({time['q1_ms']:.1f} to {time['q3_ms']:.1f})")
    lines.append(f"    selection / (plain + recovery) {result['selection_over_plain_and_recovery']:.2f}")
    lines.append(f"    naive / selection              {result['naive_over_selection']:.1f}")
    lines.append(f"    rewards {result['rewards']}, {result['positive_share']:.0%} of them positive")
    lines.append(f"    same choice as naive for {result['same_choice_as_naive']:.1%} of the samples")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
