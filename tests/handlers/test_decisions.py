"""What is written about every subject: each value is put in by hand and looked for in the files."""

import json
import math

import pandas as pd
import pytest
import torch

from dymo_med.handlers import DecisionWriter
from dymo_med.selection import Selection, SelectionStep, SelectionTrace
from tests.handlers.build import disk_of, replay

NAN = math.nan
CLASSES = ["healthy", "ill"]
FILES = ["decisions.jsonl", "predictions.csv", "summary.txt"]
SUBJECTS = ["Sboth", "Swhole", "Shalf", "Snothing"]
REWARDS = (
    [[0.25, -0.125, 0.5], [NAN, NAN, NAN], [-0.0625, NAN, NAN], [NAN, NAN, NAN]],
    [[0.125, NAN, NAN], [NAN, NAN, NAN], [NAN, NAN, NAN], [NAN, NAN, NAN]],
)
"""Of (table by tip, table by mean, ecg by vae) in two steps. The first subject accepts ecg, then table by tip."""


def step(rewards, accepted):
    reward = torch.tensor(rewards)
    n_samples, n_candidates = reward.shape
    return SelectionStep(
        probs_before=torch.tensor([[0.75, 0.25]] * n_samples),
        confidence_before=torch.full((n_samples,), 0.625),
        ics_before=torch.tensor([NAN] + [0.5] * (n_samples - 1)),
        probs=torch.tensor([[[0.25, 0.75]] * n_candidates] * n_samples),
        confidence=reward + 0.5,
        ics=reward + 0.25,
        ics_weight=torch.ones_like(reward),
        reward=reward,
        accepted=torch.tensor(accepted) & ~reward.isnan(),
    )


def selection(logits, variants, steps=()):
    trace = SelectionTrace(
        modalities=("image", "table", "ecg"),
        candidates=((1, 1), (1, 2), (2, 1)),
        candidate_names=("tip", "mean", "vae"),
        observed_share=torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.5, 1.0], [0.0, 0.0, 0.0]]),
        open=torch.tensor([[True] * 3, [False] * 3, [True, False, False], [False, True, False]]),
        variants=torch.tensor(variants),
        steps=steps,
    )
    return Selection(torch.tensor(logits), torch.zeros(4, 2), trace)


def predictions():
    """Policy "greedy" fuses two proposals for the first subject, "discard" none for anybody."""
    steps = (step(REWARDS[0], [[False, False, True]] * 4), step(REWARDS[1], [[True, False, False]] * 4))
    none, ill, healthy = [NAN, NAN], [0.0, math.log(3)], [math.log(4), 0.0]
    still = [[0, 0, 0]] * 3
    return {
        "greedy": selection([ill, healthy, healthy, none], [[0, 1, 1], *still], steps),
        "discard": selection([healthy, healthy, ill, none], [[0, 0, 0], *still]),
    }


def batch(subjects=SUBJECTS, **more):
    return {"subject_id": list(subjects), "pred": predictions(), **more}


def write(folder, *batches, **options):
    replay(DecisionWriter(folder, CLASSES, **options)).run(list(batches) or [batch()])
    return folder


def no_constant(text):
    raise AssertionError(f"{text} is not JSON")


def decisions(folder):
    lines = (folder / "decisions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_constant=no_constant) for line in lines]


def table(folder):
    return pd.read_csv(folder / "predictions.csv", dtype="str", keep_default_na=False)


def test_three_files(tmp_path):
    assert sorted(path.name for path in write(tmp_path / "new" / "folder").iterdir()) == FILES


def test_decision_with_two_steps_is_told_in_full(tmp_path):
    tip, mean, vae = (
        {"modality": modality, "recovery": name}
        for modality, name in (("table", "tip"), ("table", "mean"), ("ecg", "vae"))
    )
    before = {"probabilities": {"healthy": 0.75, "ill": 0.25}, "confidence": 0.625, "ics": None}
    after = {"ics_weight": 1.0, "probabilities": {"healthy": 0.25, "ill": 0.75}}
    first = [
        tip | {"reward": 0.25, "confidence": 0.75, "ics": 0.5, "accepted": False} | after,
        mean | {"reward": -0.125, "confidence": 0.375, "ics": 0.125, "accepted": False} | after,
        vae | {"reward": 0.5, "confidence": 1.0, "ics": 0.75, "accepted": True} | after,
    ]
    second = [tip | {"reward": 0.125, "confidence": 0.625, "ics": 0.375, "accepted": True} | after]
    assert decisions(write(tmp_path))[0] == {
        "subject_id": "Sboth",
        "strategy": "greedy",
        "status": "predicted",
        "predicted_class": "ill",
        "probabilities": {"healthy": pytest.approx(0.25), "ill": pytest.approx(0.75)},
        "observed": {"image": 1.0, "table": 0.0, "ecg": 0.0},
        "recovered": [tip, mean, vae],
        "fused": [tip, vae],
        "steps": [{"before": before, "candidates": first}, {"before": before, "candidates": second}],
    }


def test_row_with_two_steps(tmp_path):
    row = table(write(tmp_path)).iloc[0]
    names = "table by tip; table by mean; ecg by vae"
    expected = {
        "subject_id": "Sboth",
        "strategy": "greedy",
        "status": "predicted",
        "reason": "",
        "predicted_class": "ill",
        "observed": "image",
        "recovered": names,
        "fused": "table by tip; ecg by vae",
        "candidates": f"{names}; table by tip",
        "reward": "0.25; -0.125; 0.5; 0.125",
        "confidence_before": "0.625; 0.625; 0.625; 0.625",
        "confidence_after": "0.75; 0.375; 1; 0.625",
        "ics_before": "nan; nan; nan; nan",
        "ics_after": "0.5; 0.125; 0.75; 0.375",
    }
    assert {name: row[name] for name in expected} == expected
    assert float(row["probability"]) == float(row["probability_ill"]) == pytest.approx(0.75)
    assert float(row["probability_healthy"]) == pytest.approx(0.25)


def test_complete_subject_has_nothing_to_decide(tmp_path):
    folder = write(tmp_path)
    record, row = decisions(folder)[1], table(folder).iloc[1]
    assert record["predicted_class"] == "healthy"
    assert record["recovered"] == record["fused"] == record["steps"] == []
    assert list(row[["observed", "recovered", "candidates", "reward"]]) == ["image, table, ecg", "", "", ""]


def test_rejected_proposal_and_part_of_a_table(tmp_path):
    folder = write(tmp_path)
    record, row = decisions(folder)[2], table(folder).iloc[2]
    assert [len(of_step["candidates"]) for of_step in record["steps"]] == [1]
    assert record["recovered"] == [{"modality": "table", "recovery": "tip"}]
    assert record["fused"] == []
    assert list(row[["observed", "recovered", "fused", "reward"]]) == [
        "50 % of table, ecg",
        "table by tip",
        "",
        "-0.0625",
    ]


def test_subject_without_anything_has_a_reason_instead_of_a_prediction(tmp_path):
    folder = write(tmp_path)
    reason = "nothing was observed: no modality holds a value; supply one and predict again"
    for position, policy in ((3, "greedy"), (7, "discard")):
        expected = {"subject_id": "Snothing", "strategy": policy, "status": "no prediction", "reason": reason}
        assert decisions(folder)[position] == expected
        row = table(folder).iloc[position]
        assert {name: row[name] for name in expected} == expected
        assert row["probability"] == row["predicted_class"] == ""


def test_every_subject_and_policy_has_a_row(tmp_path):
    other = [f"{subject}2" for subject in SUBJECTS]
    folder = write(tmp_path, batch(), batch(other))
    expected = [(subject, policy) for part in (SUBJECTS, other) for policy in ("greedy", "discard") for subject in part]
    assert [(record["subject_id"], record["strategy"]) for record in decisions(folder)] == expected
    assert list(table(folder)[["subject_id", "strategy"]].itertuples(index=False, name=None)) == expected


def test_pattern_and_label_are_written_where_batches_have_them(tmp_path):
    patterns, labels = [f"p{number}" for number in range(4)], torch.tensor([1, 0, 1, 0])
    folder = write(tmp_path, batch(pattern=patterns, label=labels))
    assert list(table(folder)["pattern"]) == patterns * 2
    assert list(table(folder)["label"]) == ["1", "0", "1", "0"] * 2
    assert [(record["pattern"], record["label"]) for record in decisions(folder)[:2]] == [("p0", 1), ("p1", 0)]

    without = write(tmp_path / "without")
    assert not {"pattern", "label"} & set(decisions(without)[0])
    assert set(table(without)["pattern"]) == set(table(without)["label"]) == {""}


def test_own_keys(tmp_path):
    own = {"person": SUBJECTS, "what": ["p"] * 4, "pred": predictions()}
    folder = write(tmp_path, own, id_key="person", pattern_key="what")
    assert [(record["subject_id"], record["pattern"]) for record in decisions(folder)[:4]] == [
        (subject, "p") for subject in SUBJECTS
    ]


def test_subjects_set_aside_come_last_with_their_reasons(tmp_path):
    aside = pd.DataFrame(
        {"subject_id": ["S8", "S9"], "stage": ["image", "table"], "reason": ["cut, short", "two rows"]}
    )
    folder = write(tmp_path, set_aside=aside)
    assert decisions(folder)[8:] == [
        {"subject_id": "S8", "reason": "cut, short", "status": "no prediction"},
        {"subject_id": "S9", "reason": "two rows", "status": "no prediction"},
    ]
    rows = table(folder).iloc[8:][["subject_id", "strategy", "status", "reason", "probability"]]
    assert rows.to_numpy().tolist() == [
        ["S8", "", "no prediction", "cut, short", ""],
        ["S9", "", "no prediction", "two rows", ""],
    ]


def test_summary_counts(tmp_path):
    aside = pd.DataFrame({"subject_id": ["S8"], "reason": ["cut short"]})
    text = (write(tmp_path, set_aside=aside, title="Simulated") / "summary.txt").read_text(encoding="utf-8")
    assert text == (
        "Simulated\n"
        "  predictions            6\n"
        "  without a prediction   3\n"
        "    2 x nothing was observed: no modality holds a value; supply one and predict again\n"
        "    1 x cut short\n"
        "  greedy\n"
        "    class      2 x healthy; 1 x ill\n"
        "    observed   1 x image; 1 x image, table, ecg; 1 x part of table, ecg\n"
        "    recovered  1 x table by tip; table by mean; ecg by vae; 1 x nothing; 1 x table by tip\n"
        "    fused      2 x nothing; 1 x table by tip; ecg by vae\n"
        "  discard\n"
        "    class      2 x healthy; 1 x ill\n"
        "    observed   1 x image; 1 x image, table, ecg; 1 x part of table, ecg\n"
        "    recovered  1 x table by tip; table by mean; ecg by vae; 1 x nothing; 1 x table by tip\n"
        "    fused      3 x nothing\n"
    )


def test_second_run_forgets_the_first(tmp_path):
    engine = replay(DecisionWriter(tmp_path, CLASSES))
    for _ in range(2):
        engine.run([batch()])
    assert len(decisions(tmp_path)) == 8


@pytest.mark.parametrize("n_bytes", [0, 512])
def test_full_disk_leaves_what_was_there(tmp_path, n_bytes):
    write(tmp_path, batch([f"old{number}" for number in range(4)]))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    line = r"cannot write decisions\.jsonl \(.+\); nothing half-written was left: free space or choose another output"
    with disk_of(n_bytes), pytest.raises(OSError, match=line):
        write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_full_disk_leaves_nothing_half_written_in_a_new_folder(tmp_path):
    with disk_of(256), pytest.raises(OSError, match=r"cannot write decisions\.jsonl") as caught:
        write(tmp_path / "new")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "new").iterdir())


def test_disk_that_fills_between_the_files_leaves_only_whole_ones(tmp_path, monkeypatch):
    def half(frame, path, **_):
        path.write_text("subject_id,pat")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(OSError, match=r"cannot write predictions\.csv \(No space left on device\)"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["decisions.jsonl"]
    assert len(decisions(tmp_path)) == 8
