"""Reader of IDX files, the format in which MNIST is published."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["read_idx"]

UNSIGNED_BYTE = 0x08
"""Code of the element type uint8, the only one that MNIST uses."""
MAX_BYTES = 2**30
"""Bound on the content: a header or an archive that promises more is damaged or forged."""


def read_idx(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of bytes, gzipped or not; nothing is unpacked to the disk.

    Args:
        path: File such as ``t10k-images-idx3-ubyte.gz``.

    Returns:
        Array of the shape that the header states, for example (N, 28, 28).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no IDX file of bytes, is damaged, or holds more or less than its header states.

    Source: header as Y. LeCun's MNIST page gives it: two zero bytes, type, rank, then the sizes as big-endian uint32.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "labels"
        >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        >>> read_idx(path).tolist()
        [7, 2, 1]
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no IDX file at {path}: point to MNIST's images and labels, as published")
    content = _content(path)
    rank = content[3] if len(content) > 3 else 0
    start = 4 + 4 * rank
    if content[:3] != bytes([0, 0, UNSIGNED_BYTE]) or not 1 <= rank <= 4 or len(content) < start:
        raise ValueError(
            f"an IDX file of bytes must begin with 00 00 08 and its rank, however: {path.name} begins with "
            f"{content[:4].hex(' ') or 'nothing'}; download it again"
        )
    shape = struct.unpack(f">{rank}I", content[4:start])
    if math.prod(shape) != len(content) - start:
        raise ValueError(
            f"{path.name} must hold {math.prod(shape)} values for shape {shape}, however: {len(content) - start}; "
            "download it again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape).copy()


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            content: bytes = file.read(MAX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as err:
        raise ValueError(
            f"{path.name} must be a whole gzip file, however: {type(err).__name__}; download it again"
        ) from err
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path.name} must hold at most {MAX_BYTES} bytes, however: more; use MNIST's own files")
    return content
