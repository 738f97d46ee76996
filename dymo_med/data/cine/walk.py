"""The data elements of a DICOM header, found without building objects of those that are not needed."""

from collections.abc import Collection
from struct import Struct

from pydicom.tag import Tag

from dymo_med.data.cine.archive import shown
from dymo_med.utils import SubjectError

__all__ = ["UNDEFINED_LENGTH", "read_elements"]

UNDEFINED_LENGTH = 0xFFFFFFFF

MAX_DEPTH = 32
"""Sequences inside sequences, two levels each (sequence and item); scanners nest three or four."""

_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Value representations with two reserved bytes and a length of 32 bits (DICOM PS3.5, table 7.1-1)."""

_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_DELIMITERS, _ENDS = 0xFFFE, (0xFFFE_E00D, 0xFFFE_E0DD)  # group of items and sequences; ends of both
_EXPLICIT, _LENGTH = Struct("<HH2sH").unpack_from, Struct("<L").unpack_from


def read_elements(
    content: bytes, start: int, *, is_implicit: bool, needed: Collection[int], stop_at: int, where: str
) -> tuple[dict[int, bytes], int]:
    r"""Give the stored bytes of the needed elements, as far as ``content`` reaches.

    Every element is stepped over by its length, sequences without a length item by item; nothing is decoded, and no
    step goes backwards. What stands inside a sequence is not given. Little endian only.

    Args:
        content: A DICOM file or its first part.
        start: Where the first element begins.
        is_implicit: Value representations are not written down (Implicit VR Little Endian).
        needed: Tags to give, as numbers such as 0x00280010.
        stop_at: The first element with this tag or a larger one ends the walk.
        where: The file, for messages.

    Returns:
        Tag to stored bytes, padding included; and where the element begins that ended the walk, or the end of
        ``content``.

    Raises:
        SubjectError: an element has no valid value representation, ends a sequence that never began, or sequences are
            nested too deep.

    Source:
        DICOM PS3.5, sections 7.1 (data elements) and 7.5 (nesting).

    Example:
        >>> rows, columns = b"\x28\0\x10\0US\x02\0\x40\0", b"\x28\0\x11\0US\x02\0\x80\0"
        >>> read_elements(rows + columns, 0, is_implicit=False, needed={0x00280011}, stop_at=0x7FE00008, where="a file")
        ({2621457: b'\x80\x00'}, 20)
    """
    values: dict[int, bytes] = {}
    outer: list[bool] = []  # per open sequence or item: whether what encloses it is implicit
    position, n_bytes = start, len(content)
    while position + 8 <= n_bytes:
        group, number, vr, length = _EXPLICIT(content, position)
        tag = group << 16 | number
        if tag >= stop_at and not outer and group != _DELIMITERS:
            return values, position
        begin = position + 8
        if vr in _SHORT and not outer and not is_implicit:  # nearly all elements
            position = begin + length
            if tag in needed and position <= n_bytes:
                values[tag] = content[begin:position]
            continue
        if group == _DELIMITERS or is_implicit:
            length = _LENGTH(content, position + 4)[0]
        elif vr in _LONG:
            if begin + 4 > n_bytes:
                return values, n_bytes
            length = _LENGTH(content, begin)[0]
            begin += 4
        elif vr not in _SHORT:
            raise _damaged(tag, f"value representation {shown(vr.decode('latin-1'))}", where)
        if group == _DELIMITERS and tag in _ENDS:
            if not outer:
                raise _damaged(tag, "the end of a sequence that never began", where)
            is_implicit = outer.pop()
            position = begin
        elif length == UNDEFINED_LENGTH:
            if len(outer) == 2 * MAX_DEPTH:
                raise _damaged(tag, f"sequences nested more than {MAX_DEPTH} deep", where)
            outer.append(is_implicit)
            is_implicit = is_implicit or vr == b"UN"  # an unknown sequence is written implicitly (PS3.5, 6.2.2)
            position = begin
        else:
            position = begin + length
            if not outer and tag in needed and position <= n_bytes:
                values[tag] = content[begin:position]
    return values, n_bytes


def _damaged(tag: int, problem: str, where: str) -> SubjectError:
    return SubjectError(problem, where=f"tag {Tag(tag)} of {where}", remedy="the file is damaged: download it again")
