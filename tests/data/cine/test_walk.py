"""The walk over a header against pydicom's own reader, and what it refuses."""

import io

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dymo_med.data.cine.walk import read_elements
from dymo_med.utils import SubjectError

TEXT = st.text("ABC 0123", max_size=12)


def nested(depth, texts, is_undefined):
    """Sequences in sequences, each item with a text before and after."""
    ds = Dataset()
    ds.PatientComments = texts[0]
    if depth:
        ds.ReferencedImageSequence = Sequence(
            [nested(depth - 1, texts[1:] + texts[:1], is_undefined) for _ in range(2)]
        )
        ds["ReferencedImageSequence"].is_undefined_length = is_undefined
        for item in ds.ReferencedImageSequence:
            item.is_undefined_length_sequence_item = is_undefined
    return ds


def to_bytes(ds, is_implicit):
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, is_implicit
    write_dataset(buffer, ds)
    return buffer.getvalue()


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 3), st.lists(TEXT, min_size=4, max_size=4), st.booleans(), st.booleans(), st.binary(max_size=70000)
)
def test_values_are_those_that_pydicom_finds(depth, texts, is_undefined, is_implicit, private):
    ds = nested(depth, texts, is_undefined)
    ds.SeriesDescription = texts[1]
    ds.Rows = 208
    ds.add_new(0x00290010, "LO", "CREATOR")
    ds.add_new(0x00291010, "OB", private + b"\0" * (len(private) % 2))
    ds.add_new(0x7FE00010, "OW", b"\0\1")
    content = to_bytes(ds, is_implicit)
    needed = {0x0008103E, 0x00280010, 0x00104000}
    values, end = read_elements(content, 0, is_implicit=is_implicit, needed=needed, stop_at=0x7FE00008, where="a file")
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    truth = pydicom.dcmread(io.BytesIO(content), force=True) if is_implicit else None
    raw = pydicom.filereader.read_dataset(io.BytesIO(content), is_implicit, True) if truth is None else truth
    assert values == {int(tag): raw.get_item(tag).value for tag in needed if tag in raw} or _blank(values, raw, needed)
    assert content[end : end + 4] == b"\xe0\x7f\x10\x00"


def _blank(values, raw, needed):
    """pydicom gives None for empty values."""
    return values == {int(tag): raw.get_item(tag).value or b"" for tag in needed if tag in raw}


SEQUENCE = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff"
ITEM, ITEM_END, SEQUENCE_END = (
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
)
ROWS = b"\x28\0\x10\0US\x02\0\x40\0"


def rows_of(content):
    return read_elements(content, 0, is_implicit=False, needed={0x00280010}, stop_at=0x7FE00008, where="a file")


def test_what_stands_in_a_sequence_is_not_given():
    inside = b"\x28\0\x10\0US\x02\0\x07\0"
    content = SEQUENCE + ITEM + inside + ITEM_END + SEQUENCE_END
    assert rows_of(content) == ({}, len(content))
    assert rows_of(content + ROWS)[0] == {0x00280010: b"\x40\0"}


def test_an_unknown_sequence_is_implicit_inside():
    unknown = b"\x09\x00\x01\x10UN\0\0\xff\xff\xff\xff"
    implicit = b"\x09\0\x02\x10\x04\0\0\0text"
    assert rows_of(unknown + ITEM + implicit + ITEM_END + SEQUENCE_END + ROWS)[0] == {0x00280010: b"\x40\0"}


def test_every_beginning_of_a_header_ends_at_its_end():
    content = SEQUENCE + ITEM + ROWS + ITEM_END + SEQUENCE_END + ROWS + b"\x29\0\x10\x10OB\0\0\x02\0\0\0\0\0"
    for n_bytes in range(len(content)):
        values, end = rows_of(content[:n_bytes])
        assert end == n_bytes
        assert values in ({}, {0x00280010: b"\x40\0"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x28\0\x10\0\xff\xfe\x02\0\x40\0", r"value representation '\\xff\\xfe' in tag \(0028,0010\) of a file: the"),
        (ITEM_END, r"the end of a sequence that never began in tag \(FFFE,E00D\) of a file"),
        (SEQUENCE_END, r"the end of a sequence that never began in tag \(FFFE,E0DD\) of a file"),
        ((SEQUENCE + ITEM) * 33, r"sequences nested more than 32 deep in tag \(0008,1140\) of a file"),
    ],
)
def test_damage_is_refused(content, message):
    with pytest.raises(SubjectError, match=message):
        rows_of(content)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_end_in_values_or_a_refusal(content, is_implicit):
    try:
        _, end = read_elements(content, 0, is_implicit=is_implicit, needed={1}, stop_at=0x7FE00008, where="a file")
    except SubjectError:
        return
    assert 0 <= end <= len(content)
