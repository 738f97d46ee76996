"""The benchmarks run, count what they say they count, and write what they say they write."""

import pytest
import torch

from benchmarks import cases, cine_reading, selection, switches, throughput, timing
from benchmarks.naive import naive_select
from dymo_med.data.synthetic import PhantomImageSize, write_phantom_download
from dymo_med.utils import read_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=sorted(selection.CASES))
def case(request):
    return selection.CASES[request.param](None, cases.TINY)


def test_naive_selection_decides_the_same(case):
    chosen = naive_select(case, case.recover())
    assert torch.equal(chosen, case.select().trace.variants > 0)


def test_about_half_of_the_rewards_are_positive(case):
    assert 0.2 < cases.positive_share(case.select()) < 0.8


def test_encoders_see_every_present_input_and_every_recovered_one_once(case):
    with cases.counted_rows(case.network.encoders) as rows:
        case.select()
    for name, missing in case.missing.items():
        n_observed, n_recovered = int((~missing.all(1)).sum()), int(missing.any(1).sum())
        targets = {recovery.target for recovery in case.recoveries}
        assert rows[name] == n_observed + (n_recovered if name in targets else 0)


def test_times_are_taken_in_turns():
    order = []
    seconds = timing.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert "".join(order) == "ab" * 4
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
    assert timing.summary([0.001, 0.002, 0.003]) == {"median_ms": 2.0, "q1_ms": 1.5, "q3_ms": 2.5}


def test_selection_writes_and_prints(tmp_path, capsys):
    selection.main(["--cases", "c", "--repetitions", "2", "--output", str(tmp_path / "s.json")], cases.TINY)
    found = read_json(tmp_path / "s.json")
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert set(found["cases"]["c"]["times"]) == {"plain", "recovery", "naive", "selection"}
    assert found["cases"]["c"]["same_choice_as_naive"] == 1.0
    assert "5 pictures, 1 observed, batch 64" in capsys.readouterr().out


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_selection_on_a_gpu_reports_its_memory(tmp_path, dtype):
    words = ["--device", "cuda", "--dtype", dtype, "--batch-size", "256", "--repetitions", "3"]
    selection.main([*words, "--output", str(tmp_path / "s.json")])
    found = read_json(tmp_path / "s.json")["cases"]
    assert all(found[key]["peak_gpu_mib"] > 0 for key in "abcd")
    assert all(found[key]["same_choice_as_naive"] > 0.98 for key in "abcd")


def test_other_networks_of_a_case_and_another_batch(tmp_path):
    words = ["--cases", "a", "--repetitions", "2", "--batch-size", "8", "--dtype", "bfloat16"]
    selection.main([*words, "--output", str(tmp_path / "s.json")], cases.TINY)
    found = read_json(tmp_path / "s.json")
    assert (found["dtype"], found["cases"]["a"]["batch_size"]) == ("bfloat16", 8)
    assert found["cases"]["a"]["peak_gpu_mib"] is None


def test_switches_write_and_print(tmp_path, capsys):
    words = ["--repetitions", "2", "--agreement", "16", "--output", str(tmp_path / "w.json")]
    switches.main([*words, "--only", "as trained", "prepared", "bfloat16"], cases.TINY)
    found = read_json(tmp_path / "w.json")["switches"]
    assert list(found) == ["as trained", "prepared", "bfloat16"]
    assert found["prepared"]["same_choice"] == 1.0
    assert "prepared" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's own tables
def test_throughput_of_a_small_cohort(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    found = throughput.measure(tmp_path, 24, "small", 1)
    assert found["n_subjects"] == 24
    assert found["loop_subjects_per_s"] > 0
    assert 0 < found["share_of_loop_in_inferer"] < 1
    assert len(found["private_memory_mib_at_quarters"]) == 1  # 24 subjects are one batch


def test_the_reader_is_compared_with_what_it_decodes(tmp_path):
    image = PhantomImageSize(n_slices=3, n_frames=8, rows=40, columns=40)
    result = cine_reading.measure(tmp_path, n_subjects=2, repetitions=1, image=image)
    for packing in ("stored", "deflated"):
        assert result[packing]["frames_decoded"] == 3 * 8  # all slices are central, all phases looked at
        assert result[packing]["times_bare"] > 0
    assert set(result["processes"]["subjects_per_s"]) == {"1", "2"}


def test_the_bare_side_decodes_what_the_reader_does_and_nothing_twice(tmp_path):
    image = PhantomImageSize(n_slices=10, n_frames=20, rows=40, columns=40)
    write_phantom_download(tmp_path, n_subjects=1, seed=0, image=image)
    (path,) = tmp_path.rglob("*.zip")
    names = cine_reading.needed_members(path)
    assert len(names) == len(set(names)) == 6 * 10 + 10  # half of the phases of 6 central slices, the rest of one
