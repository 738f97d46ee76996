"""Numbers like participant ids, told from the many other numbers of seven digits."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

__all__ = ["holds_id", "id_positions", "is_id_column", "is_like_id", "looks_like_ids", "masked"]

_PLACEHOLDER = 1234567
_ID = re.compile(
    rb"(?<![0-9A-Za-z])(?<!\d\.)(?<![^0-9A-Za-z]\.)"  # no part of a word or of a decimal fraction
    rb"[1-6]\d{6}"
    rb"(?![0-9A-Za-z])(?!\.(?!0(?![0-9]))\d)"  # nor a decimal number, unless it is an id stored as one (".0")
)
_URL = re.compile(rb"https?://[^\s\"'<>\x00]+")
_TEXT_RUN = re.compile(rb"[\t\r\n\x20-\x7e]{12,}")
_ANY_SEVEN = re.compile(r"(?<!\d)\d{7}(?!\d)")
_ID_COLUMN = re.compile(
    r"(participant\.|f\.|n_|x)?eid(_?\w+)?|(participant|patient)[ _]?id|encoded[ _]anonymi[sz]ed[ _]participant[ _]id",
    re.IGNORECASE,
)
_FEW = 5


def is_like_id(number: int) -> bool:
    """Tell whether a number could be a participant id of UK Biobank: seven digits, from 1,000,000 to 6,999,999.

    Round numbers (multiples of 10,000), powers of two and the placeholder 1234567 are no ids: they are in every other
    program, and hardly ever (0.01 %) a participant.

    Example:
        >>> [is_like_id(number) for number in (4_000_000, 2**22, 9_000_001, 4_000_001)]
        [False, False, False, True]
    """
    if not 1_000_000 <= number < 7_000_000:
        return False
    return number % 10_000 != 0 and number & (number - 1) != 0 and number != _PLACEHOLDER


def id_positions(content: bytes) -> Iterator[int]:
    """Give where numbers like participant ids start.

    Those inside words, fractions, longer numbers and web addresses are none; in binary content only stretches of text
    count, since digits occur among any bytes.

    Args:
        content: Text in an encoding that contains ASCII, or binary content.

    Example:
        >>> digits = b"4" + b"321987"
        >>> list(id_positions(b"x=0." + digits + b" uid 1.2." + digits + b" eid " + digits + b".0"))
        [32]
    """
    matches = [match for match in _ID.finditer(content) if is_like_id(int(match[0]))]
    if not matches:
        return
    addresses = _spans(_URL, content)
    texts = _spans(_TEXT_RUN, content) if b"\0" in content else [(0, len(content))]
    for match in matches:
        if _inside(match.start(), texts) and not _inside(match.start(), addresses):
            yield match.start()


def holds_id(text: bytes) -> bool:
    """Tell whether there is a number like a participant id.

    Example:
        >>> holds_id(b"4" + b"321987_20209_2_0.zip"), holds_id(b"9000001_20209_2_0.zip")
        (True, False)
    """
    return next(id_positions(text), None) is not None


def _spans(pattern: re.Pattern[bytes], content: bytes) -> list[tuple[int, int]]:
    return [match.span() for match in pattern.finditer(content)]


def _inside(position: int, spans: list[tuple[int, int]]) -> bool:
    at = bisect_right(spans, (position, float("inf"))) - 1
    return at >= 0 and spans[at][0] <= position < spans[at][1]


def looks_like_ids(numbers: Iterable[float]) -> bool:
    """Tell whether a column of numbers is one of participant ids: five different ones or more, nearly all like ids.

    Args:
        numbers: Values of the column, without missing ones.

    Example:
        >>> looks_like_ids(range(4_000_001, 4_000_009)), looks_like_ids([4_000_001] * 9), looks_like_ids(range(9))
        (True, False, False)
    """
    values = list(numbers)
    like = [value for value in values if value == int(value) and is_like_id(int(value))]
    return len(set(like)) >= _FEW and len(like) >= 0.9 * len(values)


def is_id_column(title: str) -> bool:
    """Tell whether the title of a column says that it holds participant ids, in any dialect of the registry's tables.

    Example:
        >>> [is_id_column(title) for title in ("eid", "f.eid", "Participant ID", "neighborhood", "subject_id")]
        [True, True, True, False, False]
    """
    return _ID_COLUMN.fullmatch(title.strip().strip("\"'")) is not None


def masked(text: str) -> str:
    """Blot out every number of seven digits.

    Example:
        >>> masked("scan_4" + "321987.zip")
        'scan_#######.zip'
    """
    return _ANY_SEVEN.sub("#######", text)
