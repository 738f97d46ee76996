"""Draw what an evaluation of the PolyMNIST bundle decided for a handful of samples that lost four of five pictures."""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from monai.bundle import ConfigParser

from dymo_med.data.polymnist import PolyMNIST
from dymo_med.networks import with_weights

FUSED, KEPT_OUT, OBSERVED = "#1b7f5c", "#b0413e", "#555555"
BUNDLE = Path(__file__).parents[2] / "bundles" / "polymnist_classification" / "configs"


def choose(decisions: Path, pattern: str, n_samples: int) -> list[dict[str, Any]]:
    """Samples of one pattern under greedy_ics: those that fused most first, then those that fused nothing."""
    with decisions.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    own = [record for record in records if (record["pattern"], record["strategy"]) == (pattern, "greedy_ics")]
    own.sort(key=lambda record: -len(record["fused"]))
    n_fused = (n_samples + 1) // 2
    return own[:n_fused] + [record for record in own if not record["fused"]][: n_samples - n_fused]


def reconstruct(record: dict[str, Any], item: dict[str, Any], data: PolyMNIST, vae: torch.nn.Module) -> dict[str, Any]:
    inputs = {name: torch.from_numpy(data.read_image(item[name]))[None] for name in data.modalities}
    missing = {name: torch.tensor([record["observed"][name] == 0]) for name in data.modalities}
    with torch.no_grad():
        z = vae.latent(inputs, missing).mean
        return {name: vae.decoders[name](z)[0].clamp(0, 1).numpy() for name in data.modalities}


def verdicts(record: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """By modality a line and its color: when it was fused with which reward, or the last reward that kept it out."""
    found: dict[str, tuple[str, str]] = {}
    for number, step in enumerate(record["steps"], start=1):
        for candidate in step["candidates"]:
            word = f"fused {number}." if candidate["accepted"] else "not fused"
            color = FUSED if candidate["accepted"] else KEPT_OUT
            found[candidate["modality"]] = (f"{word}\nreward {candidate['reward']:+.3f}", color)
    return found


def draw(records: list[dict[str, Any]], data: PolyMNIST, vae: torch.nn.Module, output: Path) -> None:
    items = {item["subject_id"]: item for item in data.items()}
    n_modalities = len(data.modalities)
    figure, axes = plt.subplots(
        2 * len(records),
        n_modalities + 1,
        figsize=(1.45 * n_modalities + 3.2, 3.1 * len(records)),
        width_ratios=[1] * n_modalities + [2.2],
        layout="constrained",
        squeeze=False,
    )
    for row, record in enumerate(records):
        item, words = items[record["subject_id"]], verdicts(record)
        recovered = reconstruct(record, item, data, vae)
        for column, name in enumerate(data.modalities):
            above, below = axes[2 * row, column], axes[2 * row + 1, column]
            is_missing = record["observed"][name] == 0
            picture = data.read_image(item[name]).transpose(1, 2, 0)
            above.imshow(np.where(is_missing, 0.35 * picture + 0.65, picture))
            text, color = words.get(name, ("observed", OBSERVED))
            above.set_title("missing (true picture)" if is_missing else "observed", fontsize=7)
            below.imshow(recovered[name].transpose(1, 2, 0))
            below.set_title(text, fontsize=7, color=color)
            for axis in (above, below):
                axis.set_axis_off()
        grid = axes[0, 0].get_gridspec()
        for axis in axes[2 * row : 2 * row + 2, -1]:
            axis.remove()
        bars = figure.add_subplot(grid[2 * row : 2 * row + 2, -1])
        before = record["steps"][0]["before"]["probabilities"] if record["steps"] else record["probabilities"]
        classes = list(record["probabilities"])
        place = np.arange(len(classes))
        bars.barh(place - 0.2, list(before.values()), 0.4, color="#999999", label="observed alone")
        bars.barh(place + 0.2, list(record["probabilities"].values()), 0.4, color=FUSED, label="after selection")
        bars.set(yticks=place, yticklabels=classes, xlim=(0, 1))
        bars.invert_yaxis()
        bars.tick_params(labelsize=7)
        bars.set_title(f"true class {classes[record['label']]}, predicted {record['predicted_class']}", fontsize=8)
        if row == 0:
            bars.legend(fontsize=6, loc="lower right")
    figure.suptitle("Inputs, reconstructions, what was fused in which order, class probabilities", fontsize=10)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed-folder", type=Path, default=Path("runs/polymnist/seed0"), help="folder of one seed")
    parser.add_argument("--model", default="cosine", help="folder of the classifier in it (%(default)s)")
    parser.add_argument("--pattern", default="eta 0.8", help="what was missing (%(default)s)")
    parser.add_argument("--n-samples", type=int, default=4, help="samples to draw (%(default)s)")
    parser.add_argument("--published-sizes", action="store_true", help="trained without small.yaml")
    parser.add_argument("--output", type=Path, required=True, help="picture to write (PNG)")
    arguments = parser.parse_args()
    names = ["train.yaml"] if arguments.published_sizes else ["train.yaml", "small.yaml"]
    config = ConfigParser()
    config.read_config([str(BUNDLE / name) for name in names])
    config["dataset_dir"] = str(arguments.seed_folder / "data")
    config.parse()
    vae = with_weights(config.get_parsed_content("recovery_def"), arguments.seed_folder / "vae/models/vae.pt").eval()
    decisions = arguments.seed_folder / arguments.model / "eval/evaluate/decisions.jsonl"
    records = choose(decisions, arguments.pattern, arguments.n_samples)
    draw(records, config.get_parsed_content("samples"), vae, arguments.output)


if __name__ == "__main__":
    main()
