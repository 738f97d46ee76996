"""Digests as buffers."""

import hashlib

import pytest
import torch

from dymo_med.utils import as_digest


def test_bytes_of_the_digest():
    digest = hashlib.sha256(b"schema")
    assert bytes(as_digest("name", digest.hexdigest()).tolist()) == digest.digest()
    assert torch.equal(as_digest("name", None), torch.zeros(32, dtype=torch.uint8))


@pytest.mark.parametrize("text", ["", "ab" * 31, "AB" * 32, "xy" * 32])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=f"schema_digest must be 64 hexadecimal digits, however: '{text}'; pass the"):
        as_digest("schema_digest", text)
