"""One writer at a time in a cohort folder."""

import errno
import fcntl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

__all__ = ["writing_to"]

_LOCK_FILE = ".lock"
_BUSY = (errno.EAGAIN, errno.EACCES)


@contextmanager
def writing_to(folder: Path, *, is_shard: bool = False) -> Iterator[None]:
    """Keep a cohort folder for one writer, or for shards, which may write side by side.

    The lock ends with the process, however it ends. It is an empty file that stays in the folder.

    Args:
        folder: Folder of the cohort; made if absent.
        is_shard: Write a shard: other shards may do so too, a writer of the whole cohort not.

    Raises:
        BlockingIOError: somebody else writes.
        OSError: nothing can be written there.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with writing_to(folder, is_shard=True), writing_to(folder, is_shard=True):
        ...     sorted(path.name for path in folder.iterdir())
        ['.lock']
    """
    with _lock_file(folder) as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if is_shard else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as err:
            if err.errno in _BUSY:
                raise BlockingIOError(
                    f"one command at a time writes a cohort (or several with --shard), however: another one is at work "
                    f"in {folder.name}: wait for its end, then run again"
                ) from err
            warnings.warn(
                f"the file system of {folder.name} has no locks ({err.strerror}): run one command at a time on it",
                stacklevel=3,
            )
        yield


def _lock_file(folder: Path) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / _LOCK_FILE).open("a")
    except OSError as err:
        raise OSError(
            err.errno,
            f"a cohort needs a folder to write in, however: {folder.name} is none ({err.strerror}): choose another one",
        ) from err
