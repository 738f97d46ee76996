import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dymo_med.data.splits import DEFAULT_FRACTIONS, published_split, stratified_split


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


class TestKeptSplits:
    def test_who_has_a_split_stays_and_shares_hold(self):
        labels = cohort(600)
        first = stratified_split(labels.iloc[:500])
        split = stratified_split(labels, keep=first)
        pd.testing.assert_series_equal(split.iloc[:500], first)
        for name, share in DEFAULT_FRACTIONS.items():
            assert abs((split == name).sum() - share * 600) <= 2

    def test_after_a_withdrawal_nobody_changes_sides(self):
        labels = cohort(300)
        first = stratified_split(labels)
        left = labels.drop(index=labels.index[::29])
        assert (stratified_split(left, keep=first) == first[left.index]).all()
        assert (stratified_split(left) != first[left.index]).any()

    def test_relatives_follow(self):
        labels = cohort(100)
        groups = pd.Series(labels.index.astype("str"), index=labels.index)
        groups.iloc[50:60] = groups.iloc[0]
        split = stratified_split(labels, groups=groups, keep=pd.Series({labels.index[0]: "test"}))
        assert set(split.iloc[50:60]) == {"test"}

    def test_torn_groups_are_refused(self):
        labels = cohort(30)
        keep = pd.Series({labels.index[0]: "test", labels.index[1]: "train"})
        with pytest.raises(ValueError, match="1 of 1 groups have two already"):
            stratified_split(labels, groups=pd.Series(0, index=labels.index), keep=keep)

    def test_other_names_are_refused(self):
        labels = cohort(30)
        with pytest.raises(ValueError, match=r"among \['train', 'val', 'test'\], however: \['new'\]"):
            stratified_split(labels, keep=pd.Series({labels.index[0]: "new"}))


class TestPublishedSplit:
    def test_sizes_are_the_published_ones(self):
        split = published_split([f"S{number}" for number in range(36_167)])
        assert split.value_counts().to_dict() == {"train": 26_040, "val": 6_510, "test": 3_617}

    def test_it_follows_the_order_of_rows(self):
        subjects = [f"S{number}" for number in range(200)]
        split, turned = published_split(subjects), published_split(subjects[::-1])
        assert split.index.tolist() == subjects
        assert split.tolist() == turned.tolist()
        assert (split != turned[split.index]).any()

    def test_it_is_that_of_the_permutation(self):
        order = np.random.RandomState(2022).permutation(50)
        assert set(np.flatnonzero(published_split(["x" * k for k in range(50)]) == "test")) == set(order[:5])
