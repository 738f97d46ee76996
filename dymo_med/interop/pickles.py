"""Pickles read as data: nothing that they name is imported, called or executed.

A pickle may ask for any importable function to be called. Here it gets stand-ins that record what they were given;
names outside a short list, and instructions that no weight file needs, are refused.
"""

import io
import pickle  # the unpickler below resolves no name of a file to a real object
import pickletools
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, NoReturn

import torch

__all__ = ["Inert", "PlainDict", "StorageRecord", "TensorRecord", "read_pickle"]

_OPCODES = frozenset(
    """
    PROTO FRAME STOP MARK MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET NONE NEWTRUE NEWFALSE BININT BININT1 BININT2
    LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES EMPTY_DICT EMPTY_LIST EMPTY_TUPLE EMPTY_SET
    TUPLE TUPLE1 TUPLE2 TUPLE3 SETITEM SETITEMS APPEND APPENDS ADDITEMS GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD
    BINPERSID
    """.split()  # noqa: SIM905
)
_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_INERT_PACKAGES = ("omegaconf.", "pytorch_lightning.", "lightning.", "lightning_fabric.", "torchmetrics.", "typing.")
_INERT_NAMES = frozenset(
    """
    argparse.Namespace pathlib.PosixPath pathlib.WindowsPath pathlib.PurePosixPath
    torch.Size torch.device torch.float16 torch.float32 torch.float64
    numpy.dtype numpy.core.multiarray.scalar numpy._core.multiarray.scalar _codecs.encode
    builtins.dict builtins.list builtins.tuple builtins.set builtins.frozenset builtins.str builtins.unicode
    builtins.bytes builtins.int builtins.long builtins.float builtins.bool builtins.complex
    """.split()  # noqa: SIM905
)
_DICTIONARIES = {
    "collections.OrderedDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
}


class StorageRecord(NamedTuple):
    """Where the numbers of one or more tensors lie in a file."""

    dtype: torch.dtype
    key: str
    n_elements: int


class TensorRecord(NamedTuple):
    """A tensor that was not read yet.

    Example:
        >>> TensorRecord(StorageRecord(torch.float32, "0", 6), 0, (2, 3), (3, 1)).shape
        (2, 3)
    """

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Inert:
    r"""Stands in for an object of a class that is not imported: what it was made from, and its state.

    Example:
        >>> node = read_pickle(b"comegaconf.nodes\nAnyNode\n)\x81}X\x04\x00\x00\x00_valK\x03sb.", "hp")
        >>> node.dotted_name, node.state
        ('omegaconf.nodes.AnyNode', {'_val': 3})
    """

    __slots__ = ("args", "state")
    dotted_name: ClassVar[str] = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> "Inert":
        """Record the arguments."""
        self = object.__new__(cls)
        self.args, self.state = args, None
        return self

    def __setstate__(self, state: Any) -> None:
        """Record the state; later attributes cannot be set through it."""
        self.state = state


class PlainDict(dict[Any, Any]):
    r"""Stands in for dictionaries of other classes; attributes that a file sets on them are dropped.

    Example:
        >>> read_pickle(b"ccollections\nOrderedDict\n)RK\x01K\x02s.", "a.pt")
        {1: 2}
    """

    __slots__ = ()

    def __init__(self, *args: Any) -> None:
        if args:
            raise pickle.UnpicklingError("a dictionary is made with arguments")
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Drop the state."""


class _DefaultDict(PlainDict):
    __slots__ = ()

    def __init__(self, *factory: Any) -> None:  # noqa: ARG002 - what made default values is not needed to read
        super().__init__()


class _Sealed:
    """A token or function that a pickle may use and cannot change."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> NoReturn:
        raise pickle.UnpicklingError(f"{type(self).__name__} has no state")


class _StorageType(_Sealed):
    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class _RebuildTensor(_Sealed):
    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorRecord:
        numbers = (offset, *shape, *stride)
        if not isinstance(storage, StorageRecord) or any(type(number) is not int for number in numbers):
            raise pickle.UnpicklingError("a tensor has no storage, or sizes that are no integers")
        return TensorRecord(storage, offset, tuple(shape), tuple(stride))


class _RebuildParameter(_Sealed):
    __slots__ = ()

    def __call__(self, tensor: Any, *_: Any) -> TensorRecord:
        if not isinstance(tensor, TensorRecord):
            raise pickle.UnpicklingError("a parameter is made from something else than a tensor")
        return tensor


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Give the stand-in of a name, never what it names."""
        dotted = f"{module.replace('__builtin__', 'builtins')}.{name}"
        if module == "torch" and name in _DTYPES:
            return _StorageType(_DTYPES[name])
        if dotted == "torch._utils._rebuild_tensor_v2":
            return _RebuildTensor()
        if dotted == "torch._utils._rebuild_parameter":
            return _RebuildParameter()
        if dotted == "collections.defaultdict":
            return _DefaultDict
        if dotted in _DICTIONARIES:
            return PlainDict
        if dotted in _INERT_NAMES or dotted.startswith(_INERT_PACKAGES):
            return _stand_in(dotted)
        raise _ForbiddenNameError(dotted)

    def persistent_load(self, pid: Any) -> StorageRecord:
        """Describe the storage that a tensor lies in."""
        if isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage":
            _, kind, key, _, n_elements = pid
            if isinstance(kind, _StorageType) and isinstance(key, str) and type(n_elements) is int:
                return StorageRecord(kind.dtype, key, n_elements)
        raise pickle.UnpicklingError("a storage is not described as torch does")


class _ForbiddenNameError(pickle.UnpicklingError):
    """A name that is not on the list."""


def read_pickle(data: bytes, file: str) -> Any:
    r"""Read a pickle as data.

    Args:
        data: The pickle.
        file: Name of its file, for messages.

    Returns:
        Numbers, texts and containers; :class:`TensorRecord` for tensors, :class:`PlainDict` for dictionaries of other
        classes, :class:`Inert` for configuration objects.

    Raises:
        ValueError: the pickle is damaged, uses instructions that no weight file needs, or names something else.

    Example:
        >>> try:
        ...     read_pickle(b"cos\nsystem\n.", "evil.pt")
        ... except ValueError as err:
        ...     print(str(err)[:99])
        evil.pt must hold tensors, plain containers and configurations, however: it names os.system: do not
    """
    for name, argument, position in _instructions(data, file):
        if name not in _OPCODES:
            raise ValueError(
                f"{file} must use the instructions of weight files only, however: {name} at byte {position}: "
                "get it again from its authors"
            )
        if name == "LONG_BINPUT" and argument > len(data):  # would claim memory for all numbers below
            raise ValueError(
                f"{file} must number its objects one by one, however: number {argument} in {len(data)} bytes: "
                "get it again from its authors"
            )
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except _ForbiddenNameError as err:
        raise ValueError(
            f"{file} must hold tensors, plain containers and configurations, however: it names {err}: do not open this "
            "file with other software before you know why; get it again from its authors"
        ) from err
    except Exception as err:  # whatever a malformed pickle provokes means the same, and nothing was executed
        raise _damaged(file, err) from err


def _instructions(data: bytes, file: str) -> Iterator[tuple[str, Any, int | None]]:
    try:
        for opcode, argument, position in pickletools.genops(data):
            yield opcode.name, argument, position
    except (ValueError, IndexError, struct.error) as err:
        raise _damaged(file, err) from err


def _damaged(file: str, err: Exception) -> ValueError:
    problem = f"{type(err).__name__}: {err}"
    return ValueError(f"{file} is damaged or not what it claims to be ({problem}): get it again from its authors")


@lru_cache(maxsize=256)
def _stand_in(dotted: str) -> type[Inert]:
    return type("Inert", (Inert,), {"__slots__": (), "dotted_name": dotted})
