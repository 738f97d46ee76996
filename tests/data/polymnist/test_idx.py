import gzip
import struct

import numpy as np
import pytest

from dymo_med.data.polymnist import idx, read_idx
from tests.data.polymnist.build import IMAGES, LABELS

needs_mnist = pytest.mark.skipif(not IMAGES.is_file(), reason="MNIST's files are not here")


def content(array, kind=8):
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0,)])
def test_what_was_written_is_read(tmp_path, pack, shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "file").write_bytes(pack(content(array)))
    found = read_idx(tmp_path / "file")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "must begin with 00 00 08 and its rank, however: file begins with nothing"),
        (b"\x89PNG....", "file begins with 89 50 4e 47"),
        (content(np.zeros(3, np.uint8), kind=13), "file begins with 00 00 0d 01"),
        (bytes([0, 0, 8, 0]), "file begins with 00 00 08 00"),
        (bytes([0, 0, 8, 3, 0, 0]), "file begins with 00 00 08 03"),
        (content(np.zeros((2, 3), np.uint8))[:-1], r"must hold 6 values for shape \(2, 3\), however: 5; download"),
        (content(np.zeros((2, 3), np.uint8)) + b"x", "must hold 6 values .* however: 7"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"x", r"however: 1; download"),
        (gzip.compress(content(np.zeros(99, np.uint8)), mtime=0)[:-12], "must be a whole gzip file, however: EOFError"),
        (b"\x1f\x8b" + b"\x00" * 20, "must be a whole gzip file, however: BadGzipFile"),
    ],
)
def test_damaged_files_are_refused(tmp_path, data, match):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ValueError, match=match):
        read_idx(tmp_path / "file")


def test_archive_that_grows_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "MAX_BYTES", 100)
    (tmp_path / "bomb").write_bytes(gzip.compress(bytes(10_000), mtime=0))
    with pytest.raises(ValueError, match="bomb must hold at most 100 bytes, however: more"):
        read_idx(tmp_path / "bomb")


def test_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no IDX file at .*none: point to MNIST's images"):
        read_idx(tmp_path / "none")


@needs_mnist
def test_published_files():
    images, labels = read_idx(IMAGES), read_idx(LABELS)
    assert images.shape == (10_000, 28, 28)
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert round(float(images.mean()), 2) == 33.79
