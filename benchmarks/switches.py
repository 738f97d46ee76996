"""What each way of preparing networks for inference brings, for image and table with the whole table missing.

``make benchmark-switches``; ``--help`` lists the options. Writes ``runs/benchmarks/switches.json`` and prints a
table.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import PUBLISHED, Case, Sizes, cardiac_case
from benchmarks.timing import interleaved, machine, summary
from dymo_med.networks import prepare_for_inference
from dymo_med.recovery import TIPRecovery
from dymo_med.utils import write_json

SWITCHES: dict[str, dict[str, Any]] = {
    "as trained": {"fold_batch_norm": False, "channels_last": False},
    "batch norm folded": {"channels_last": False},
    "channels last": {"fold_batch_norm": False},
    "prepared": {},
    "one image encoder": {},
    "compiled": {"compiled": True},
    "bfloat16": {"dtype": "bfloat16"},
}
"""Arguments of ``prepare_for_inference``; "prepared" has its defaults."""


def switched(case: Case, name: str) -> Case:
    """Prepare classifier and TIP of a case; "one image encoder" gives TIP the weights of the classifier's first."""
    tip = case.recoveries[0].network
    if name == "one image encoder":
        tip.encoder_imaging.load_state_dict(case.network.encoders["image"].state_dict())
    recovery = TIPRecovery(prepare_for_inference(tip, **SWITCHES[name]))
    return replace(case, network=prepare_for_inference(case.network, **SWITCHES[name]), recoveries=[recovery])


@torch.no_grad()
def main(arguments: list[str] | None = None, sizes: Sizes = PUBLISHED) -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(SWITCHES), default=list(SWITCHES))
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--agreement", type=int, default=32, help="samples on which choices are compared")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/switches.json"))
    options = parser.parse_args(arguments)
    names = list(options.only)
    prepared = {
        name: switched(cardiac_case("whole table missing", 1.0, options.agreement, sizes), name) for name in names
    }
    seconds = interleaved({name: prepared[name].select for name in names}, options.repetitions)
    reference = cardiac_case("whole table missing", 1.0, options.agreement, sizes)
    results = {}
    for name in names:
        result = summary(seconds[name])
        if name != "one image encoder":  # other weights of TIP propose other tables
            same = prepared[name].select().trace.variants == reference.select().trace.variants
            result["same_choice"] = round(float(same.all(1).float().mean()), 4)
        results[name] = result
        print(f"{name:<20}{result['median_ms']:>10.1f} ms   same choice {result.get('same_choice', '-')}", flush=True)
    write_json(options.output, {"machine": machine(), "batch_size": options.agreement, "switches": results})


if __name__ == "__main__":
    main()
