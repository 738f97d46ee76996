"""Pixels of one DICOM cine frame."""

import io

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array

from dymo_med.data.cine.archive import shown
from dymo_med.data.cine.headers import FrameHeader
from dymo_med.utils import SubjectError

__all__ = ["decode_frame"]


def decode_frame(content: bytes, header: FrameHeader) -> NDArray[np.float32]:
    """Decode one file whose header was checked, and apply rescale slope (0028,1053) and intercept (0028,1052).

    Uncompressed pixels are taken as they lie; compressed ones go through the decoders that pydicom finds.

    Args:
        content: The whole file.
        header: What :func:`~dymo_med.data.cine.headers.read_header` said about it.

    Returns:
        (X, Y) intensities, X the column index and Y the row index of the displayed frame.

    Raises:
        SubjectError: no decoder for the compression, or the decoded size differs from rows and columns.
    """
    stored = _native(content, header) if header.pixel_offset is not None else _compressed(content, header)
    if stored.shape != (header.rows, header.columns):
        raise SubjectError(
            f"decoded size {stored.shape} instead of {(header.rows, header.columns)}",
            where=f"tag (7FE0,0010) of archive member {shown(header.member)}",
            remedy="the file is damaged or forged: export the series again",
        )
    rescaled = stored.astype(np.float32) * np.float32(header.rescale_slope) + np.float32(header.rescale_intercept)
    return np.ascontiguousarray(rescaled.T)


def _native(content: bytes, header: FrameHeader) -> NDArray[np.generic]:
    dtype = np.dtype(f"<{'i' if header.is_signed else 'u'}{header.bits_allocated // 8}")
    n_pixels = header.rows * header.columns
    return np.frombuffer(content, dtype, n_pixels, header.pixel_offset or 0).reshape(header.rows, header.columns)


def _compressed(content: bytes, header: FrameHeader) -> NDArray[np.generic]:
    try:
        is_readable = get_decoder(header.transfer_syntax_uid).is_available
    except NotImplementedError:
        is_readable = False
    if not is_readable:
        raise SubjectError(
            f"pixels in transfer syntax {header.transfer_syntax_uid}, for which no decoder is installed,",
            where=f"tag (7FE0,0010) of archive member {shown(header.member)}",
            remedy="install the decoders with: pip install 'dymo-med[codecs]'",
        )
    return pixel_array(io.BytesIO(content))
