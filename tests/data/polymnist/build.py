"""Small sets of drawn digits on noise, and where MNIST's own files are."""

from pathlib import Path

import numpy as np

from dymo_med.data.polymnist import write_polymnist

MNIST = Path(__file__).parents[4] / "shared" / "data" / "mnist"
IMAGES, LABELS = MNIST / "t10k-images-idx3-ubyte.gz", MNIST / "t10k-labels-idx1-ubyte.gz"


def digits(n_digits=60, n_classes=3, seed=0):
    """Every digit a block whose place tells its class, with a pixel of its own."""
    labels = (np.arange(n_digits) % n_classes).astype(np.uint8)
    pictures = np.zeros((n_digits, 28, 28), np.uint8)
    for index, label in enumerate(labels):
        pictures[index, 4 + 6 * label : 9 + 6 * label, 4:24] = 255
        pictures[index, 0, index % 28] = 200
    return pictures, labels


def photographs(n_modalities=3, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(40 + 3 * index, 50 - 2 * index, 3) for index in range(n_modalities)]
    return [rng.integers(0, 90, shape, dtype=np.uint8) for shape in shapes]


def small_set(folder, n_modalities=3, n_digits=60, n_classes=3, **settings):
    pictures, labels = digits(n_digits, n_classes)
    fractions = {"train": 0.6, "val": 0.2, "test": 0.2}
    return write_polymnist(
        folder,
        digits=pictures,
        labels=labels,
        textures=photographs(n_modalities),
        **{"fractions": fractions, **settings},
    )
