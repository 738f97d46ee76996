"""Draw simulated hearts: end of diastole, middle of contraction and end of systole of four subjects, as one PNG.

Usage:
    python docs/scripts/plot_phantom.py --output phantom.png
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np

from dymo_med.data.synthetic.acquisition import PhantomImageSize
from dymo_med.data.synthetic.heart import draw_heart
from dymo_med.data.synthetic.person import draw_person
from dymo_med.data.synthetic.rendering import render_cine
from dymo_med.utils import atomic_path

mpl.use("Agg")
from matplotlib import pyplot as plt

N_SUBJECTS = 4


def plot_phantom(output: Path, seed: int) -> None:
    """Draw the middle slice of four subjects, one per row."""
    size = PhantomImageSize(n_slices=3, n_frames=30, rows=128, columns=128)
    figure, axes = plt.subplots(N_SUBJECTS, 3, figsize=(7.5, 10), layout="constrained")
    for index, row in enumerate(axes):
        rng = np.random.default_rng([seed, index])
        person = draw_person(rng)
        heart = draw_heart(person, rng)
        cine = render_cine(heart, size, bmi=person.bmi, rng=rng)[1]
        ed, es = heart.ed_frame(size.n_frames), heart.es_frame(size.n_frames)
        middle = (ed + ((es - ed) % size.n_frames) // 2) % size.n_frames
        disease = "infarction" if person.infarction else "coronary disease" if person.cad else "no coronary disease"
        row[0].set_ylabel(f"{disease}\nejection fraction {heart.ef_percent:.0f} %", fontsize=8)
        for panel, frame, title in zip(row, (ed, middle, es), ("end-diastole", "mid", "end-systole"), strict=True):
            panel.imshow(cine[frame], cmap="gray", vmin=0, vmax=np.percentile(cine, 99))
            panel.set_title(f"{title}, frame {frame}", fontsize=8)
            panel.set_xticks([])
            panel.set_yticks([])
    figure.suptitle("Simulated short-axis cine (no patient)")
    with atomic_path(output) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw simulated hearts.")
    parser.add_argument("--output", type=Path, required=True, help="PNG to write")
    parser.add_argument("--seed", type=int, default=9, help="seed of the four subjects")
    arguments = parser.parse_args()
    plot_phantom(arguments.output, arguments.seed)
