"""Sets in the manner of PolyMNIST: several pictures of one digit class on different photographs."""

from dymo_med.data.polymnist.idx import read_idx
from dymo_med.data.polymnist.reading import PolyMNIST, RandPairing
from dymo_med.data.polymnist.textures import DEFAULT_TEXTURES, PACKAGED, read_textures
from dymo_med.data.polymnist.writing import DEFAULT_FRACTIONS, fractions_of, write_polymnist

__all__ = [
    "DEFAULT_FRACTIONS",
    "DEFAULT_TEXTURES",
    "PACKAGED",
    "PolyMNIST",
    "RandPairing",
    "fractions_of",
    "read_idx",
    "read_textures",
    "write_polymnist",
]
