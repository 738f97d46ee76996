"""Files that try to run code, or to exhaust the computer: refused by name, and without effect."""

import builtins
import io
import os
import pickle
import struct
import zipfile

import pytest
import torch

from dymo_med.interop.archive import TorchFile
from dymo_med.interop.pickles import Inert, read_pickle
from tests.interop import files


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function, *args, state=None):
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.parts


class Hidden:
    def __setstate__(self, state):
        raise AssertionError("executed")

    def __getstate__(self):
        return {"a": 1}


def save(path, content, **options):
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda proof: Calls(os.system, f"touch {proof}"), r"(posix|nt)\.system"),
        (lambda proof: Calls(builtins.eval, f"open({str(proof)!r}, 'w')"), r"builtins\.eval"),
        (lambda proof: Calls(builtins.exec, f"open({str(proof)!r}, 'w')"), r"builtins\.exec"),
        (lambda _: Calls(builtins.getattr, "a", "b"), r"builtins\.getattr"),
        (lambda proof: Calls(open, str(proof), "w"), r"io\.open|_io\.open"),
        (lambda proof: Calls(Calls, os.system, f"touch {proof}"), r"test_pickles\.Calls|posix\.system"),
        (lambda proof: Calls(torch.load, str(proof)), r"torch\.serialization\.load"),
        (lambda _: Calls(torch.hub.load, "a", "b"), r"torch\.hub\.load"),
        (lambda _: Calls(torch._utils._rebuild_sparse_tensor, 1, 2), r"torch\._utils\._rebuild_sparse_tensor"),
        (lambda _: torch.nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
        (lambda _: Hidden(), r"test_pickles\.Hidden"),
    ],
)
def test_calls_are_refused_by_name(tmp_path, protocol, make, named):
    proof = tmp_path / "proof"
    path = save(tmp_path / "evil.ckpt", {"state_dict": {"a": make(proof)}}, pickle_protocol=protocol)
    with pytest.raises(ValueError, match=rf"evil.ckpt must hold tensors, .* however: it names .*({named})"):
        TorchFile(path)
    assert not proof.exists()


def test_names_behind_an_allowed_package_are_stand_ins(tmp_path):
    proof = tmp_path / "proof"
    data = (
        b"comegaconf.nodes\nos.system\nX"
        + struct.pack("<I", len(f"touch {proof}"))
        + f"touch {proof}".encode()
        + b"\x85R."
    )
    found = read_pickle(data, "a")
    assert isinstance(found, Inert)
    assert found.args == (f"touch {proof}",)
    assert not proof.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n}X\x0c\x00\x00\x00__defaults__K\x01sb.",  # change a function
        b"ctorch._utils\n_rebuild_tensor_v2\nN}X\x08\x00\x00\x00__code__K\x01s\x86b.",
        b"ctorch\nFloatStorage\n}X\x05\x00\x00\x00dtypeK\x01sb.",  # change a token
        b"comegaconf.nodes\nAnyNode\n}X\x05\x00\x00\x00stateK\x01sb.",  # change a class
        b"ccollections\nOrderedDict\nN}X\x05\x00\x00\x00itemsK\x01s\x86b.",
        b"ctorch._utils\n_rebuild_parameter\nK\x01\x85R.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))tR.",
        b"ccollections\nOrderedDict\n]\x85R.",
        b"ctorch\nFloatStorage\n)R.",
        b"X\x03\x00\x00\x00abcQ.",  # a storage that is a text
        b"}K\x01a.",
        b"(",
        b"",
        b"\xff\xff",
        b"X\xff\xff\xff\xffabc.",
    ],
)
def test_malformed_pickles_are_refused(data):
    before = (Inert.__init__, Inert.__setstate__)
    with pytest.raises(ValueError, match=r"^a.pt (is damaged|must use the instructions)"):
        read_pickle(data, "a.pt")
    assert (Inert.__init__, Inert.__setstate__) == before


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"(iposix\nsystem\n.", "INST"),
        (b"(cposix\nsystem\nX\x02\x00\x00\x00lso.", "OBJ"),
        (b"\x82\x01.", "EXT1"),
        (b"Pid\n.", "PERSID"),
        (b"K\x012.", "DUP"),
        (b"I1\n.", "INT"),
    ],
)
def test_instructions_that_no_weight_file_needs(data, name):
    with pytest.raises(ValueError, match=rf"instructions of weight files only, however: {name} at byte \d+"):
        read_pickle(data, "a.pt")


def test_memo_numbers_cannot_claim_memory():
    with pytest.raises(ValueError, match=r"number its objects one by one, however: number 2147483632 in \d+ bytes"):
        read_pickle(b"}r" + struct.pack("<I", 2**31 - 16) + b".", "a.pt")


def test_what_follows_the_end_is_not_read():
    assert read_pickle(b"N.cos\nsystem\n.", "a") is None


def test_containers_numbers_and_texts_are_read():
    content = {"a": [1, 2.5, None, True, "ä"], "b": (1, (2, 3), b"x"), "c": -(2**40), 4: {"d": ()}}
    for protocol in (3, 4):
        assert read_pickle(pickle.dumps(content, protocol=protocol), "a") == content


def test_configurations_are_read_as_data(tmp_path):
    with files.fake_package(*files.OMEGACONF) as made:
        save(tmp_path / "a.pt", {"hp": files.as_config({"x": {"y": [1, "z"]}}, made), "type": made["DictConfig"]})
    content = TorchFile(tmp_path / "a.pt").content
    assert content["hp"].dotted_name == "omegaconf.dictconfig.DictConfig"
    assert content["type"].dotted_name == "omegaconf.dictconfig.DictConfig"
    inner = content["hp"].state["_content"]["x"]
    assert inner.state["_parent"] is content["hp"]
    assert [node.state["_val"] for node in inner.state["_content"]["y"].state["_content"]] == [1, "z"]


# --- the zip around the pickle


def test_tensors_of_every_kind_come_back(tmp_path):
    dtypes = [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.uint8,
        torch.bool,
    ]
    content = {str(dtype): (torch.arange(6).reshape(2, 3) % 2).to(dtype) for dtype in dtypes}
    base = torch.arange(12.0)
    content |= {"view": base[2:8].reshape(2, 3).T, "scalar": torch.tensor(3), "empty": torch.zeros(0, 4)}
    content["parameter"] = torch.nn.Parameter(base[::2])
    file = TorchFile(save(tmp_path / "a.pt", content))
    for name, value in file.tensors(file.content).items():
        assert torch.equal(value, content[name]), name
        assert value.dtype == content[name].dtype


def rewritten(path, target, change=None, leave=(), add=None, compression=zipfile.ZIP_STORED):
    """Copy a zip, with other contents."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", compression) as copy:
        for info in source.infolist():
            name = info.filename.partition("/")[2]
            if name not in leave:
                copy.writestr(info.filename, (change or {}).get(name, source.read(info)))
        for name, content in (add or {}).items():
            copy.writestr(name, content)
    return target


@pytest.fixture
def good(tmp_path):
    return save(tmp_path / "good.pt", {"a": torch.ones(4)})


def test_other_formats_are_refused(tmp_path, good):
    old = save(tmp_path / "old.pt", {"a": torch.ones(4)}, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"old.pt must be a zip file as torch 1.6 .* however: it is a bare pickle"):
        TorchFile(old)
    (tmp_path / "tar.pt").write_bytes(b"\0" * 257 + b"ustar" + b"\0" * 300)
    with pytest.raises(ValueError, match=r"tar.pt must be a zip file .* however: it is a tar"):
        TorchFile(tmp_path / "tar.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ValueError, match=r"text.pt must be a zip file .* however: it is no torch file"):
        TorchFile(tmp_path / "text.pt")
    (tmp_path / "cut.pt").write_bytes(good.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"cut.pt is damaged"):
        TorchFile(tmp_path / "cut.pt")


def test_damaged_and_hostile_zips_are_refused(tmp_path, good):
    target = tmp_path / "bad.pt"
    with pytest.raises(ValueError, match=r"bad.pt is damaged .*member 'data.pkl' is compressed or encrypted"):
        TorchFile(rewritten(good, target, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match=r"no member 'data.pkl'"):
        TorchFile(rewritten(good, target, leave=["data.pkl"]))
    with pytest.raises(ValueError, match=r"little-endian order, however: byteorder is another"):
        TorchFile(rewritten(good, target, change={"byteorder": b"big"}))
    with pytest.raises(ValueError, match=r"member 'version' is there twice"):
        TorchFile(rewritten(good, target, add={"again/version": b"3"}))
    with pytest.raises(ValueError, match=r"'data.pkl' of \d+ bytes, at most"):
        TorchFile(rewritten(good, target, change={"data.pkl": bytes(2**24 + 1)}))
    content = bytearray(good.read_bytes())
    place = content.index(torch.ones(4).numpy().tobytes())
    content[place] ^= 1
    target.write_bytes(content)
    file = TorchFile(target)
    with pytest.raises(ValueError, match=r"bad.pt is damaged .*CRC"):
        file.tensors(file.content)


def test_tensors_that_do_not_fit_their_numbers(tmp_path, good):
    target = tmp_path / "bad.pt"
    file = TorchFile(rewritten(good, target, leave=["data/0"]))
    with pytest.raises(ValueError, match=r"no member 'data/0'"):
        file.tensors(file.content)
    file = TorchFile(rewritten(good, target, change={"data/0": b"\0" * 12}))
    with pytest.raises(ValueError, match=r"'a' needs 4 numbers of torch.float32, however: 12 bytes"):
        file.tensors(file.content)
    file = TorchFile(good)
    record = file.content["a"]
    for change in ({"shape": (5,)}, {"offset": 1}, {"shape": (2, 2), "stride": (4, 1)}):
        with pytest.raises(ValueError, match=r"'a' of shape .* does not fit its 4 stored numbers"):
            file.tensor("a", record._replace(**({"stride": record.stride} | change)))
    with pytest.raises(ValueError, match=r"'a' of shape \(10000000000,\) does not fit"):
        file.tensor("a", record._replace(shape=(10**10,), stride=(0,)))
    for change in ({"offset": -1}, {"shape": (-4,)}, {"stride": (-1,)}, {"stride": (1, 1)}):
        with pytest.raises(ValueError, match=r"'a' has shape .* stride .* offset"):
            file.tensor("a", record._replace(**change))


def test_huge_claims_are_refused_before_anything_is_made(tmp_path):
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=2)

    class Storage:
        pass

    pickler.persistent_id = lambda item: (
        ("storage", torch.FloatStorage, "0", "cpu", 10**12) if type(item) is Storage else None
    )
    pickler.dump(Calls(torch._utils._rebuild_tensor_v2, Storage(), 0, (10**6, 10**6), (10**6, 1), False, {}))
    good = save(tmp_path / "good.pt", torch.ones(4))
    file = TorchFile(rewritten(good, tmp_path / "bad.pt", change={"data.pkl": stream.getvalue()}))
    with pytest.raises(ValueError, match=r"needs 1000000000000 numbers of torch.float32, however: 16 bytes"):
        file.tensor("a", file.content)
