"""Ways to damage a file: blind ones for any bytes, and ones that know zip, DICOM, NIfTI, CSV and JSON."""

import copy
import io
import json
import struct
import zipfile

import nibabel as nib
import numpy as np

from tests.data.cine.scans import Heart, members

EXTREME_BYTES = [
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\xfe\xff\x00\xe0",
    b"PK\x03\x04",
]
EXTREME_TEXTS = ["nan", "inf", "-1e400", "", " ", "1e-400", "9" * 400, "\\", "1\\2\\3", "0x10", "2" * 7, "é\n\0", "-0"]
EXTREME_VALUES = [
    None,
    True,
    -1,
    0,
    1e308,
    2**70,
    "",
    "x" * 5000,
    [],
    {},
    [[[]]],
    {"a": None},
    float("nan"),
    "0001",
    "é\0",
]


def flip(content, rng):
    """Change up to 16 bytes at random places."""
    changed = bytearray(content)
    for at in rng.integers(0, max(len(changed), 1), rng.integers(1, 17)):
        if changed:
            changed[at] ^= int(rng.integers(1, 256))
    return bytes(changed)


def cut(content, rng):
    return content[: rng.integers(0, len(content) + 1)]


def drop_slice(content, rng):
    start, stop = np.sort(rng.integers(0, len(content) + 1, 2))
    return content[:start] + content[min(stop, start + 5000) :]


def repeat_slice(content, rng):
    start, stop = np.sort(rng.integers(0, len(content) + 1, 2))
    return content[:stop] + content[start : min(stop, start + 5000)] * int(rng.integers(1, 5)) + content[stop:]


def overwrite(content, rng):
    """Put extreme numbers over a few places, where lengths and counts may stand."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(0, max(len(changed) - 4, 1)))
        changed[at : at + 4] = rng.choice(EXTREME_BYTES)
    return bytes(changed)


def noise(content, rng):
    return rng.bytes(rng.integers(0, 4000))


BLIND = (flip, cut, drop_slice, repeat_slice, overwrite, noise)


def blindly(content, rng):
    for _ in range(rng.integers(1, 3)):
        content = BLIND[rng.integers(len(BLIND))](content, rng)
    return content


def forge_directory(content, rng):
    """Change numbers of the zip's own directory or of the headers before its members."""
    changed = bytearray(content)
    marks = [mark for mark in (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06") if mark in content]
    for _ in range(rng.integers(1, 4)):
        mark = marks[rng.integers(len(marks))]
        places = [at for at in range(len(content)) if content.startswith(mark, at)]
        at = places[rng.integers(len(places))] + int(rng.integers(4, 46))
        value = rng.choice([0, 1, 8, 12, 99, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, len(content)])
        form, room = (("<I", 4), ("<H", 2))[rng.integers(2)]
        if at + room <= len(changed):
            struct.pack_into(form, changed, at, int(value) & (0xFFFFFFFF if room == 4 else 0xFFFF))
    return bytes(changed)


def rezip(content_of, rng):
    """Pack members again so that checksums hold, stored or deflated."""
    buffer = io.BytesIO()
    method = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[rng.integers(2)]
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        for name, content in content_of:
            archive.writestr(name, content)
    return buffer.getvalue()


def forge_element(content, rng):
    """Change representation, length or value of one element in the stored bytes of a DICOM file."""
    changed = bytearray(content)
    places = [at for at in range(132, min(len(content) - 8, 2000)) if content[at + 4 : at + 6].isupper()] or [132]
    at = places[rng.integers(len(places))]
    action = rng.integers(4)
    if action == 0:
        changed[at + 4 : at + 6] = rng.choice([b"SQ", b"OB", b"UN", b"UT", b"DS", b"FL", b"XX", b"\0\0"])
    elif action == 1:
        struct.pack_into("<H", changed, at + 6, int(rng.choice([0, 1, 0x7FFF, 0xFFFF])))
    elif action == 2:
        struct.pack_into("<HH", changed, at, *(int(part) for part in rng.integers(0, 0x10000, 2)))
    else:
        length = int.from_bytes(content[at + 6 : at + 8], "little")
        changed[at + 8 : at + 8 + length] = rng.bytes(length)
    return bytes(changed)


def nest_sequences(content, rng):
    """Put a sequence of thousands of levels before the pixels."""
    level = struct.pack("<HH2s2xI", 0x0018, 0x9999, b"SQ", 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    at = content.index(b"\xe0\x7f\x10\x00")
    return content[:at] + level * int(rng.integers(100, 5000)) + content[at:]


TEXT_TAGS = [(0x0020, 0x0032), (0x0020, 0x0037), (0x0028, 0x0030), (0x0018, 0x1060), (0x0008, 0x103E), (0x0020, 0x000E)]
TEXT_TAGS += [(0x0018, 0x1090), (0x0018, 0x0050), (0x0008, 0x0060), (0x0008, 0x0031)]
NUMBER_TAGS = [(0x0028, 0x0010), (0x0028, 0x0011), (0x0028, 0x0100), (0x0028, 0x0002), (0x0028, 0x0103)]
NUMBERS = [0, 1, 2, 7, 8, 16, 32, 40, 48, 1000, 65535]


def change_value(content, rng):
    """Put nonsense of the right form into one element, or take the element out."""
    is_text = rng.random() < 0.6
    tags = TEXT_TAGS if is_text else NUMBER_TAGS
    mark = struct.pack("<HH", *tags[rng.integers(len(tags))])
    at = content.find(mark)
    if at < 0:
        return content
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    text = EXTREME_TEXTS[rng.integers(len(EXTREME_TEXTS))].encode()
    value = text + b" " * (len(text) % 2) if is_text else struct.pack("<H", NUMBERS[rng.integers(len(NUMBERS))])
    element = content[at : at + 6] + struct.pack("<H", len(value)) + value if rng.random() < 0.8 else b""
    return content[:at] + element + content[at + 8 + length :]


def dicom_zip(heart, rng):
    """A sound zip in which one to three DICOM files are not."""
    packed = [(name, content) for name, content in members(heart)]
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(packed)))
        name, content = packed[at]
        is_sound = content[128:132] == b"DICM" and b"\xe0\x7f\x10\x00" in content
        damages = (blindly, forge_element, forge_element, nest_sequences, change_value, change_value)
        damage = damages[rng.integers(len(damages))] if is_sound else blindly
        packed[at] = (name, damage(content, rng))
    return rezip(packed, rng)


def nifti(values, affine, rng):
    """A NIfTI file whose header holds nonsense."""
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", "sec")
    content = bytearray(image.to_bytes())
    for _ in range(rng.integers(1, 4)):
        action = rng.integers(5)
        if action == 0:  # sizes
            struct.pack_into("<h", content, 40 + 2 * int(rng.integers(8)), int(rng.choice([-1, 0, 1, 3, 300, 32767])))
        elif action == 1:  # type and bits
            struct.pack_into("<hh", content, 70, int(rng.choice([0, 2, 4, 16, 32, 64, 128, 1536, 9999])), 16)
        elif action == 2:  # steps, scale, offset
            at = int(rng.choice([76, 80, 84, 88, 92, 108, 112, 116]))
            struct.pack_into("<f", content, at, float(rng.choice([np.nan, np.inf, 0, -1, 1e38, 1e-38, 352])))
        elif action == 3:  # orientation
            struct.pack_into("<hh", content, 252, *(int(code) for code in rng.integers(-1, 6, 2)))
            struct.pack_into("<f", content, 280 + 4 * int(rng.integers(12)), float(rng.choice([np.nan, 0, 1e30, -5])))
        else:
            content = bytearray(blindly(bytes(content), rng))
            break
    return bytes(content)


def csv_text(content, rng):
    """A table with damaged cells, rows or bytes."""
    rows = content.decode().splitlines()
    for _ in range(rng.integers(1, 6)):
        at, action = int(rng.integers(len(rows))), rng.integers(6)
        cells = rows[at].split(",")
        if action <= 2:
            cells[rng.integers(len(cells))] = str(rng.choice([*EXTREME_TEXTS, "see notes", "12345678", "2015-02-30"]))
            rows[at] = ",".join(cells)
        elif action == 3:
            rows.insert(at, rows[int(rng.integers(len(rows)))])
        elif action == 4:
            rows[at] = ",".join(cells[: rng.integers(1, len(cells) + 1)] + ["x"] * int(rng.integers(0, 2)))
        else:
            rows[at] = rows[at] + str(rng.choice(['"', "\t", ";", "\0", "\r", ",,,", "\u2028"]))
    text = "\n".join(rows).encode("utf-8") + b"\n"
    return blindly(text, rng) if rng.random() < 0.25 else text


def json_text(content, rng):
    """A JSON file with values of other types, without keys, nested too deep, or cut."""
    if rng.random() < 0.2:
        return blindly(content, rng)
    if rng.random() < 0.05:
        return b"[" * 100_000
    tree = json.loads(content)
    for _ in range(rng.integers(1, 3)):
        parent, key = _place(tree, rng)
        if rng.random() < 0.3 and isinstance(parent, dict):
            del parent[key]
        else:
            parent[key] = copy.deepcopy(EXTREME_VALUES[rng.integers(len(EXTREME_VALUES))])
        if not tree:
            break
    return json.dumps(tree).encode()


def _place(tree, rng):
    """A random container and key inside a tree."""
    parent = tree
    while True:
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        key = keys[rng.integers(len(keys))]
        child = parent[key]
        if not isinstance(child, (dict, list)) or not child or rng.random() < 0.2:
            return parent, key
        parent = child


SMALL = Heart(n_slices=3, n_phases=8, rows=40, columns=48)
