"""Pseudonyms in place of registry ids."""

import contextlib
import hmac
import os
import re
import secrets
import tempfile
from pathlib import Path

import pandas as pd

__all__ = ["Pseudonymizer"]

_KEY_BYTES = 32
_HEX_DIGITS = 16


class Pseudonymizer:
    """Turn registry ids into pseudonyms that only the holder of a key file can repeat.

    A pseudonym is "S" and the first 16 hexadecimal digits of HMAC-SHA256 of the id. The same key gives the same
    pseudonyms in every run; without the key an id cannot be found by trying all numbers.

    Args:
        key_file: File with the secret key. It is made with random content, readable by its owner alone, if it does not
            exist. Keep it apart from the cohort and never share it.

    Raises:
        ValueError: the file does not hold a key.
        PermissionError: others may read the key file.

    Example:
        >>> import tempfile
        >>> pseudonym = Pseudonymizer(Path(tempfile.mkdtemp()) / "key")
        >>> len(pseudonym("9000001")), pseudonym("9000001") == pseudonym(" 9000001.0")
        (17, True)
    """

    def __init__(self, key_file: Path) -> None:
        key_file = Path(key_file)
        if not key_file.exists():
            _make_key(key_file)
        self._key = _read_key(key_file)

    def __call__(self, registry_id: str) -> str:
        """Give the pseudonym of one id; blanks around it and a ".0" behind it do not matter."""
        text = re.sub(r"\.0$", "", registry_id.strip())
        return "S" + hmac.digest(self._key, text.encode(), "sha256").hex()[:_HEX_DIGITS]

    def many(self, registry_ids: pd.Series) -> pd.Series:
        """Give the pseudonyms of a column of ids; blank cells stay missing."""
        return registry_ids.astype("string").map(self, na_action="ignore").astype("str")


def _make_key(key_file: Path) -> None:
    key_file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=key_file.parent, prefix=f".{key_file.name}-")  # made with mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first: its key counts
            key_file.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)


def _read_key(key_file: Path) -> bytes:
    mode = key_file.stat().st_mode & 0o777
    if os.name == "posix" and mode & 0o077:
        raise PermissionError(
            f"a key file must be readable by its owner alone, however: {key_file.name} has mode {mode:o}: "
            "run 'chmod 600' on it"
        )
    text = key_file.read_text(encoding="utf-8", errors="replace").strip()
    if not re.fullmatch(rf"[0-9a-f]{{{2 * _KEY_BYTES}}}", text):
        raise ValueError(
            f"a key file must hold {2 * _KEY_BYTES} hexadecimal digits, however: {key_file.name} holds {len(text)} "
            "characters: pass the key that made the earlier cohorts, or a path that does not exist for a new key"
        )
    return bytes.fromhex(text)
