"""torch's zip files, read as data and within limits."""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dymo_med.interop.pickles import TensorRecord, read_pickle

__all__ = ["TorchFile"]

_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_MAX_MEMBERS = 100_000
_MAX_PICKLE_BYTES = 16 * 2**20


class TorchFile:
    """A file that ``torch.save`` wrote (torch 1.6 or later); tensors stay on disk until asked for.

    Args:
        path: The file. It may come from anywhere: nothing in it is executed.

    Attributes:
        content: What was saved, with :class:`~dymo_med.interop.pickles.TensorRecord` for tensors and inert stand-ins
            for configuration objects.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of another format, damaged, or holds more than data.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.pt"
        >>> torch.save({"a": torch.ones(2), "epoch": 3}, path)
        >>> file = TorchFile(path)
        >>> file.content["epoch"], file.tensor("a", file.content["a"])
        (3, tensor([1., 1.]))
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"no file {self.path}: download it from its authors or correct the path")
        self._check_format()
        try:
            with zipfile.ZipFile(self.path) as archive:
                self._members = self._checked_members(archive)
                self.content: Any = read_pickle(archive.read(self._member("data.pkl")), self.path.name)
                if "byteorder" in self._members and archive.read(self._members["byteorder"]) != b"little":
                    raise ValueError(
                        f"{self.path.name} must store numbers in little-endian order, however: byteorder is another: "
                        "save it again on an ordinary computer"
                    )
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as err:
            raise self._damaged(str(err)) from err

    @property
    def name(self) -> str:
        """Name of the file without its folder."""
        return self.path.name

    def tensor(self, name: str, record: TensorRecord) -> torch.Tensor:
        """Read one tensor.

        Args:
            name: What it is, for messages.
            record: Its description in :attr:`content`.

        Raises:
            ValueError: the numbers are absent or fewer than the shape needs.
        """
        return self.tensors({name: record})[name]

    def tensors(self, records: Mapping[str, TensorRecord]) -> dict[str, torch.Tensor]:
        """Read several tensors by name; as :meth:`tensor`."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return {name: self._read(archive, name, record) for name, record in records.items()}
        except (zipfile.BadZipFile, EOFError) as err:
            raise self._damaged(str(err)) from err

    def check(self, name: str, record: TensorRecord) -> None:
        """Check that the numbers of a tensor are there, without reading them.

        Raises:
            ValueError: the numbers are absent or fewer than the shape needs.
        """
        dtype, key, n_elements = record.storage
        if min(record.offset, *record.shape, *record.stride, 0) < 0 or len(record.shape) != len(record.stride):
            raise self._damaged(f"{name!r} has shape {record.shape}, stride {record.stride}, offset {record.offset}")
        size = math.prod(record.shape)
        last = record.offset + sum((n - 1) * step for n, step in zip(record.shape, record.stride, strict=True))
        if size > n_elements or (size and last >= n_elements):
            raise self._damaged(f"{name!r} of shape {record.shape} does not fit its {n_elements} stored numbers")
        found = self._member(f"data/{key}").file_size
        if found != n_elements * dtype.itemsize:
            raise self._damaged(f"{name!r} needs {n_elements} numbers of {dtype}, however: {found} bytes")

    def _read(self, archive: zipfile.ZipFile, name: str, record: TensorRecord) -> torch.Tensor:
        self.check(name, record)
        if not math.prod(record.shape):
            return torch.zeros(record.shape, dtype=record.storage.dtype)
        content = bytearray(archive.read(self._member(f"data/{record.storage.key}")))
        flat = torch.frombuffer(content, dtype=record.storage.dtype)
        return flat.as_strided(record.shape, record.stride, record.offset).clone()

    def _check_format(self) -> None:
        with self.path.open("rb") as file:
            start = file.read(512)
        if start.startswith(b"PK"):
            return
        is_tar = start[257:262] == b"ustar"
        legacy = (
            "a tar" if is_tar else "a bare pickle" if start.startswith((b"\x80", _LEGACY_START)) else "no torch file"
        )
        raise ValueError(
            f"{self.path.name} must be a zip file as torch 1.6 and later write, however: it is {legacy}: older "
            "formats are not read; ask the authors for a current one"
        )

    def _checked_members(self, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        """Give the members below their common folder by name."""
        infos = archive.infolist()
        if len(infos) > _MAX_MEMBERS:
            raise self._damaged(f"{len(infos)} members, at most {_MAX_MEMBERS} are read")
        members: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            _, _, name = info.filename.partition("/")
            if name in members:
                raise self._damaged(f"member {name!r} is there twice")
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
                raise self._damaged(f"member {name!r} is compressed or encrypted")
            members[name] = info
        if "data.pkl" not in members:
            raise self._damaged("no member 'data.pkl'")
        if members["data.pkl"].file_size > _MAX_PICKLE_BYTES:
            raise self._damaged(f"'data.pkl' of {members['data.pkl'].file_size} bytes, at most {_MAX_PICKLE_BYTES}")
        return members

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise self._damaged(f"no member {name!r}")
        return self._members[name]

    def _damaged(self, problem: str) -> ValueError:
        return ValueError(f"{self.path.name} is damaged or not what it claims to be ({problem}): get it again")
