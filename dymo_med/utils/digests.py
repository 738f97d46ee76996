"""SHA-256 digests as tensors, so that weights can carry the name of what they belong to."""

import re

import torch

__all__ = ["as_digest"]

DIGEST_BYTES = 32
"""Length of a SHA-256 digest."""


def as_digest(name: str, text: str | None) -> torch.Tensor:
    """Give a digest as a buffer.

    Args:
        name: Name of the argument, for the text of an error.
        text: SHA-256 as 64 hexadecimal digits; None = unknown.

    Returns:
        uint8, shape (32,); all zero = unknown.

    Raises:
        ValueError: the text is no such digest.

    Example:
        >>> as_digest("schema_digest", "0a" * 32).tolist() == [10] * 32
        True
    """
    if text is None:
        return torch.zeros(DIGEST_BYTES, dtype=torch.uint8)
    if not re.fullmatch(f"[0-9a-f]{{{2 * DIGEST_BYTES}}}", text):
        raise ValueError(
            f"{name} must be {2 * DIGEST_BYTES} hexadecimal digits, however: {text[:80]!r}; pass the digest of "
            "the schema"
        )
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)
