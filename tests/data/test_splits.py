import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dymo_med.data.splits import DEFAULT_FRACTIONS, stratified_split


def cohort(n_subjects, rate=0.3, seed=0):
    rng = np.random.default_rng(seed)
    cad = pd.array(rng.random(n_subjects) < rate, dtype="Int8")
    infarction = pd.array((rng.random(n_subjects) < 0.4) & cad.astype(bool), dtype="Int8")
    labels = pd.DataFrame(
        {"cad": cad, "infarction": infarction}, index=[f"S{number:05d}" for number in range(n_subjects)]
    )
    labels.iloc[::17, 0] = pd.NA
    return labels


class TestShares:
    def test_whole_and_strata(self):
        labels = cohort(2000)
        split = stratified_split(labels)
        assert split.value_counts().to_dict() == {"train": 1440, "val": 360, "test": 200}
        for _, stratum in labels.astype("string").fillna("?").groupby(["cad", "infarction"]):
            counts = split[stratum.index].value_counts()
            for name, share in DEFAULT_FRACTIONS.items():
                assert abs(counts[name] - share * len(stratum)) <= 1.5

    @settings(max_examples=40, deadline=None)
    @given(
        n_subjects=st.integers(30, 300),
        weights=st.lists(st.integers(1, 9), min_size=1, max_size=4),
        seed=st.integers(0, 2**31),
        rate=st.floats(0, 1),
    )
    def test_every_subject_once_and_shares_within_one(self, n_subjects, weights, seed, rate):
        labels = cohort(n_subjects, rate, seed)
        fractions = {f"part{k}": weight / sum(weights) for k, weight in enumerate(weights)}
        split = stratified_split(labels, fractions, seed)
        assert split.index.equals(labels.index)
        assert split.name == "split"
        counts = split.value_counts()
        for name, share in fractions.items():
            assert abs(counts[name] - share * n_subjects) <= 1 + 1e-6

    def test_one_split_takes_all(self):
        assert set(stratified_split(cohort(5), {"new": 1.0})) == {"new"}

    def test_labels_without_columns(self):
        assert stratified_split(cohort(100)[[]]).value_counts()["train"] == 72


class TestDeterminism:
    @settings(max_examples=20, deadline=None)
    @given(order=st.permutations(range(40)), seed=st.integers(0, 1000))
    def test_row_order_does_not_matter(self, order, seed):
        labels = cohort(40)
        split = stratified_split(labels, seed=seed)
        pd.testing.assert_series_equal(stratified_split(labels.iloc[list(order)], seed=seed).sort_index(), split)

    def test_seed_matters(self):
        labels = cohort(300)
        assert (stratified_split(labels) != stratified_split(labels, seed=1)).mean() > 0.2

    def test_split_does_not_follow_the_name(self):
        split = stratified_split(cohort(1000))
        position = np.flatnonzero(split == "test")
        assert 300 < position.mean() < 700
        assert 200 < position.std() < 400


class TestGroups:
    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 2**31), n_groups=st.integers(20, 120))
    def test_no_group_crosses(self, seed, n_groups):
        labels = cohort(200, seed=seed)
        groups = pd.Series(np.random.default_rng(seed).integers(0, n_groups, 200), index=labels.index)
        split = stratified_split(labels, seed=seed, groups=groups)
        assert (split.groupby(groups).nunique() == 1).all()
        largest = groups.value_counts().max()
        for name, share in DEFAULT_FRACTIONS.items():
            assert abs((split == name).sum() - share * 200) <= largest + 1

    def test_names_of_groups_do_not_matter(self):
        labels = cohort(200)
        groups = pd.Series(np.arange(200) // 3, index=labels.index)
        renamed = groups.map(lambda number: f"family {997 * number % 1009}")
        pd.testing.assert_series_equal(
            stratified_split(labels, groups=groups), stratified_split(labels, groups=renamed)
        )

    def test_groups_in_another_order(self):
        labels = cohort(200)
        groups = pd.Series(np.arange(200) // 3, index=labels.index)
        pd.testing.assert_series_equal(
            stratified_split(labels, groups=groups), stratified_split(labels, groups=groups.iloc[::-1])
        )

    def test_subjects_in_another_order(self):
        labels = cohort(200)
        groups = pd.Series(np.arange(200) // 3, index=labels.index)
        reordered = stratified_split(labels.iloc[::-1], groups=groups).iloc[::-1]
        pd.testing.assert_series_equal(reordered, stratified_split(labels, groups=groups))

    def test_subject_without_group(self):
        labels = cohort(30)
        groups = pd.Series(0, index=labels.index[:-2])
        with pytest.raises(ValueError, match="must have a group, however: 2 of 30 have none"):
            stratified_split(labels, groups=groups)


class TestRefusals:
    @pytest.mark.parametrize(
        "fractions",
        [{"train": 0.5}, {"train": 1.2, "test": -0.2}, {"train": 1.0, "test": 0.0}, {"train": float("nan")}, {}],
    )
    def test_fractions(self, fractions):
        with pytest.raises(ValueError, match="fractions must be positive and add up to 1, however: fractions="):
            stratified_split(cohort(30), fractions)

    def test_nobody(self):
        with pytest.raises(ValueError, match="labels has 0 rows"):
            stratified_split(cohort(30).iloc[:0])

    def test_repeated_subject(self):
        labels = cohort(30)
        with pytest.raises(ValueError, match="2 rows repeat a subject"):
            stratified_split(pd.concat([labels, labels.iloc[:2]]))

    def test_empty_split(self):
        with pytest.raises(ValueError, match=r"\['val', 'test'\] would have none of 1 subjects in 1 groups"):
            stratified_split(cohort(1))
        labels = cohort(30)
        with pytest.raises(ValueError, match="would have none of 30 subjects in 1 groups"):
            stratified_split(labels, groups=pd.Series(0, index=labels.index))
