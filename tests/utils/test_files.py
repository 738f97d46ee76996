"""Files are complete or absent; weights hold tensors and nothing that runs."""

import errno
import os
import pickle
import resource
import signal
import subprocess
import sys

import pytest
import torch

from dymo_med.utils import (
    atomic_path,
    load_weights,
    read_json,
    save_weights,
    sha256_of,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_whole_and_alone(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with atomic_path(target) as temporary:
        temporary.write_text("a,b\n")
        assert not target.exists()
        assert temporary.suffix == ".csv"
    assert target.read_text() == "a,b\n"
    assert names(target.parent) == ["table.csv"]


def test_mode_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_failure_keeps_the_former_file_and_leaves_nothing(tmp_path):
    write_text(tmp_path / "a.txt", "former")

    def write_half():
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        write_half()
    assert (tmp_path / "a.txt").read_text() == "former"
    assert names(tmp_path) == ["a.txt"]


def test_full_disk_is_one_line_that_names_file_and_remedy(tmp_path):
    def fill():
        with atomic_path(tmp_path / "big.bin"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"cannot write big.bin \(No space left on device\).*free space") as caught:
        fill()
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_kernel_refusal_leaves_nothing_behind(tmp_path):
    """The operating system itself ends the write: a file-size limit, as a full disk would."""
    code = (
        "import sys; from pathlib import Path; from dymo_med.utils import write_text;"
        "write_text(Path(sys.argv[1]) / 'big.txt', 'x' * 10_000_000)"
    )

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    command = [sys.executable, "-B", "-W", "ignore", "-c", code, str(tmp_path)]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "cannot write big.txt (File too large)" in done.stderr.splitlines()[-1]
    assert names(tmp_path) == []


def test_json_round_trip_and_refusals(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, None], "a": "é"})
    assert read_json(tmp_path / "a.json") == {"b": [1, None], "a": "é"}
    with pytest.raises(ValueError, match="Out of range float values"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert names(tmp_path) == ["a.json"]
    (tmp_path / "c.json").write_text('{"a": ')
    with pytest.raises(ValueError, match=r"c.json is not valid JSON \(Expecting value: line 1 column 7"):
        read_json(tmp_path / "c.json")


def test_weights_round_trip(tmp_path):
    state = {"w": torch.arange(3.0), "n": torch.tensor(2)}
    save_weights(tmp_path / "w.pt", state)
    again = load_weights(tmp_path / "w.pt")
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], state[name]) for name in state)
    save_weights(tmp_path / "v.pt", state)
    assert sha256_of(tmp_path / "v.pt") == sha256_of(tmp_path / "w.pt")


class Harmful:
    """Writes a proof when it is unpickled."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


def test_objects_in_weights_are_refused_and_never_run(tmp_path):
    torch.save({"w": Harmful(tmp_path / "proof")}, tmp_path / "evil.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Harmful(tmp_path / "proof")))
    for name in ("evil.pt", "raw.pt"):
        with pytest.raises(ValueError, match=f"{name} is not a weight file"):
            load_weights(tmp_path / name)
    assert not (tmp_path / "proof").exists()


def test_absent_damaged_and_foreign_weights_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*none.pt: train the bundle first"):
        load_weights(tmp_path / "none.pt")
    save_weights(tmp_path / "cut.pt", {"w": torch.zeros(1000)})
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cut\.pt is not a weight file"):
        load_weights(tmp_path / "cut.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match=r"list\.pt must hold a dictionary of tensors, however: list"):
        load_weights(tmp_path / "list.pt")
