"""Where weights come from: a small file beside them, found again by their digest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dymo_med.utils import read_json, sha256_of, write_json

__all__ = ["provenance_of", "record_path", "write_record"]


def record_path(weights: str | Path) -> Path:
    """Give the file that tells where weights come from.

    Example:
        >>> record_path("models/model.pt").as_posix()
        'models/model.json'
    """
    return Path(weights).with_suffix(".json")


def write_record(weights: str | Path, facts: Mapping[str, str]) -> None:
    """Write beside weights which run made them, from which data, with which code.

    Args:
        weights: Finished weight file.
        facts: What a later run is to know: the run's key, the cohort's digest, the commit.
    """
    write_json(record_path(weights), {"sha256": sha256_of(weights), **facts})


def provenance_of(weights: str | Path) -> dict[str, str]:
    """Give the digest of weights and, where their record belongs to these very weights, what it tells.

    Args:
        weights: Weight file.

    Returns:
        ``sha256``; then the facts of :func:`write_record`, or ``record`` with the reason why there are none.

    Raises:
        FileNotFoundError: there are no weights.

    Example:
        >>> import tempfile
        >>> weights = Path(tempfile.mkdtemp()) / "model.pt"
        >>> _ = weights.write_bytes(b"")
        >>> provenance_of(weights)["record"]
        'none beside the weights'
        >>> write_record(weights, {"run": "5a"})
        >>> provenance_of(weights)["run"]
        '5a'
    """
    weights = Path(weights)
    if not weights.is_file():
        raise FileNotFoundError(f"no weights at {weights}: train the bundle first or pass the right file")
    digest, path = sha256_of(weights), record_path(weights)
    if not path.is_file():
        return {"sha256": digest, "record": "none beside the weights"}
    record: Any = read_json(path)
    if not isinstance(record, dict) or record.get("sha256") != digest:
        return {"sha256": digest, "record": "of other weights"}
    return {str(name): str(value) for name, value in record.items()}
