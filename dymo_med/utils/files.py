"""Files that are complete or absent, and weights without pickle."""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

__all__ = ["atomic_path", "load_weights", "read_json", "save_weights", "sha256_of", "write_json", "write_text"]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its name once the block has ended without an error.

    The file is flushed to the disk before the rename, so that after a crash or a full disk there is either the whole
    new file or what stood there before. Folders on the way are made.

    Args:
        path: File to write.

    Yields:
        Path to write to; its ending equals that of ``path``.

    Raises:
        OSError: the disk is full or the folder cannot be written; the text names file, cause and remedy.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_path(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> [file.name for file in folder.iterdir()]
        ['a.txt']
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as err:
        raise OSError(
            err.errno,
            f"cannot write {path.name} ({err.strerror or err}); nothing half-written was left: "
            "free space or choose another output folder, then run again",
        ) from err
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file as a whole or not at all (UTF-8)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON as a whole or not at all, keys in the given order, indented for people."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not JSON; the text names file, line and column.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as err:  # RecursionError: brackets nested without end
        raise ValueError(
            f"{path.name} is not valid JSON ({err}): write it again with the command that made it"
        ) from err


def save_weights(path: str | Path, state: Mapping[str, Any]) -> None:
    """Save tensors and plain containers with ``torch.save`` as a whole or not at all."""
    content = io.BytesIO()  # torch writing to the disk itself answers a full one with an error that says nothing of it
    torch.save(dict(state), content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_weights(path: str | Path) -> dict[str, Any]:
    """Load what :func:`save_weights` wrote; pickled objects are refused, never executed.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged or holds more than tensors and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: train the bundle first or pass the right file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # torch raises many types for damaged files; all mean the same here
        problem = f"{path.name} is not a weight file ({type(err).__name__})"
        raise ValueError(f"{problem}: it is damaged or holds pickled objects; export it again") from err
    if not isinstance(state, dict):
        raise ValueError(f"{path.name} must hold a dictionary of tensors, however: {type(state).__name__}")
    return state


def sha256_of(path: str | Path) -> str:
    """Give the SHA-256 digest of a file as hexadecimal text."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
