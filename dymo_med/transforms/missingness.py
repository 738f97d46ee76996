"""Simulated missingness and table corruption as MONAI transforms."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from numpy.typing import ArrayLike, NDArray

from dymo_med.missingness.patterns import MissingPattern, sample_missing_of
from dymo_med.utils.checks import as_choice, check_bool_mask, check_fraction, check_shape

__all__ = [
    "RandTableCorruptionD",
    "RandTableCorruptionDict",
    "RandTableCorruptiond",
    "SimulateMissingD",
    "SimulateMissingDict",
    "SimulateMissingd",
]


class SimulateMissingd(MapTransform):
    """Hides more of a modality, to measure how models bear it; the same subject always loses the same parts.

    The draw depends on the seed, the key and the subject alone, not on order, epoch, worker or platform. Natural gaps
    stay gaps. Everything absent is overwritten with nan, so that whatever reads it shows. Place it last, for one
    subject at a time, before collation.

    Args:
        keys: Modalities. Beside each ``<key>`` stands ``<key>_missing``: (F,) for a table, () for a whole modality.
        pattern: ``"value"``, ``"column"``, ``"block"``, ``"table"`` or ``"ranked"``; see
            :class:`dymo_med.missingness.patterns.MissingPattern`. ``"table"`` hides a whole modality, of any shape,
            with probability ``rate``; the others need the mask of a table. ``"column"`` hides the same columns of all.
        rate: Missing rate in [0, 1].
        seed: Another seed is another draw; report results over several.
        id_key: Item that holds the subject's pseudonym.
        families: Pattern ``"block"`` only: column indices by family name.
        order: Pattern ``"ranked"`` only: all column indices, the first to be hidden first.
        allow_missing_keys: Leave samples without a key as they are.

    Raises:
        KeyError: a sample has no mask or no pseudonym.
        TypeError: a mask is not boolean, or content cannot hold nan.
        ValueError: pattern, rate, families or mask shape do not fit together.

    Example:
        >>> import torch
        >>> hide = SimulateMissingd("table", pattern="value", rate=0.5, seed=1)
        >>> sample = {"subject_id": "s1", "table": torch.ones(8), "table_missing": torch.zeros(8, dtype=torch.bool)}
        >>> hidden = hide(sample)
        >>> int(hidden["table_missing"].sum()), int(hidden["table"].isnan().sum())
        (4, 4)
    """

    def __init__(
        self,
        keys: KeysCollection,
        pattern: MissingPattern | str,
        rate: float,
        seed: int,
        id_key: str = "subject_id",
        families: Mapping[str, Sequence[int]] | None = None,
        order: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        check_fraction("rate", rate)
        super().__init__(keys, allow_missing_keys)
        self.pattern = as_choice("pattern", pattern, MissingPattern)
        self.rate = rate
        self.seed = seed
        self.id_key = id_key
        self.families = families
        self.order = order

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Give a copy of the sample with more of its modalities missing.

        Args:
            data: Sample with the items named above.

        Returns:
            The sample; inputs are left as they are.
        """
        d = dict(data)
        for key in self.key_iterator(d):
            name = f"{key}_missing"
            if name not in d:
                raise KeyError(f"every modality needs its mask, however: {key!r} has no item {name!r}: add it first")
            before = torch.as_tensor(d[name])
            after = torch.from_numpy(self._hide(before.numpy(), self._subject_of(d), str(key)))
            d[name] = after if isinstance(d[name], torch.Tensor) else after.numpy()
            d[key] = _with_nan(d[key], after, str(key))
        return d

    def _subject_of(self, d: Mapping[Hashable, Any]) -> str:
        if self.id_key not in d:
            raise KeyError(
                f"a simulated gap needs its subject, however: the sample has no item {self.id_key!r}: add the pseudonym"
            )
        return str(d[self.id_key])

    def _hide(self, missing: NDArray[np.bool_], subject_id: str, key: str) -> NDArray[np.bool_]:
        is_table = missing.ndim == 1
        if missing.ndim > 1 or not (is_table or self.pattern is MissingPattern.TABLE):
            raise ValueError(
                f"pattern {self.pattern.value!r} needs a mask of shape (F,) of one subject"
                f"{' or ()' if self.pattern is MissingPattern.TABLE else ''}, however: "
                f"{key}_missing.shape={missing.shape}"
            )
        return sample_missing_of(
            subject_id,
            missing,
            key=key,
            pattern=self.pattern,
            rate=self.rate,
            seed=self.seed,
            families=self.families,
            order=self.order,
        )


class RandTableCorruptiond(RandomizableTransform, MapTransform):
    """A second view of a table for contrastive training: some columns take values of other people.

    Of the F columns ``int(rate * F)`` are drawn (22 of 75 at 0.3); those visible in the sample are replaced by draws
    from the column's training marginal, each column on its own. Absent cells are neither filled nor read.

    Args:
        keys: Tables (F,), each with its ``<key>_missing`` (F,); every one is drawn for on its own.
        training_values: (N, F) training rows, nan where a cell is absent; only observed cells are drawn.
        rate: Share of columns to replace, in [0, 1]; 0.3 as in TIP.
        prob: Probability that a sample is corrupted at all; TIP always does.
        allow_missing_keys: Leave samples without a key as they are.

    Raises:
        KeyError: a sample has no mask for its table.
        ValueError: a rate or probability is out of range, ``training_values`` is no matrix, a column was never
            observed, or a table has another number of columns.

    Example:
        >>> import torch
        >>> corrupt = RandTableCorruptiond("view", [[1.0] * 10, [1.0] * 10]).set_random_state(seed=0)
        >>> int(corrupt({"view": torch.zeros(10), "view_missing": torch.zeros(10, dtype=torch.bool)})["view"].sum())
        3
    """

    def __init__(
        self,
        keys: KeysCollection,
        training_values: ArrayLike,
        rate: float = 0.3,
        prob: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        check_fraction("rate", rate)
        check_fraction("prob", prob)
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        values = np.asarray(training_values, dtype=np.float32)
        if values.ndim != 2:
            raise ValueError(f"training_values must have shape (N, F), however: training_values.shape={values.shape}")
        self.rate = rate
        self.marginals = [column[~np.isnan(column)] for column in values.T]
        never = [index for index, column in enumerate(self.marginals) if not len(column)]
        if never:
            raise ValueError(f"every column needs an observed training value, however: columns {never} have none")
        self._columns = np.zeros(0, dtype=np.int64)
        self._draws = np.zeros(0, dtype=np.float32)

    def randomize(self, data: Any = None) -> None:
        """Draw whether to corrupt, which columns, and the value that each takes.

        Args:
            data: Not used.
        """
        super().randomize(data)
        if not self._do_transform:
            return
        n_columns = len(self.marginals)
        self._columns = self.R.permutation(n_columns)[: int(self.rate * n_columns)]
        observed = [self.marginals[column] for column in self._columns]
        sizes = np.array([len(values) for values in observed], dtype=np.int64)
        rows = self.R.randint(sizes)  # at once: a choice for every column takes ten times as long
        self._draws = np.array([values[row] for values, row in zip(observed, rows, strict=True)], dtype=np.float32)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Give a copy of the sample with corrupted tables; inputs are left as they are.

        Args:
            data: Sample with the items named above.

        Returns:
            The sample, tables as tensors.
        """
        d = dict(data)
        for key in self.key_iterator(d):
            if f"{key}_missing" not in d:
                raise KeyError(f"every table needs its mask, however: {key!r} has no item '{key}_missing': add it")
            self.randomize()
            d[key] = self._corrupt(torch.as_tensor(d[key]), torch.as_tensor(d[f"{key}_missing"]), str(key))
        return d

    def _corrupt(self, table: torch.Tensor, missing: torch.Tensor, key: str) -> torch.Tensor:
        check_shape(key, table, (len(self.marginals),))
        check_shape(f"{key}_missing", missing, (len(self.marginals),))
        check_bool_mask(f"{key}_missing", missing)
        result = table.clone()
        if self._do_transform:
            columns, draws = torch.from_numpy(self._columns), torch.from_numpy(self._draws).to(table.dtype)
            result[columns] = torch.where(missing[columns], table[columns], draws)
        return result


def _with_nan(content: Any, missing: torch.Tensor, key: str) -> Any:
    result = torch.as_tensor(content).clone()
    if not result.is_floating_point():
        raise TypeError(f"hidden content becomes nan, so {key!r} must be floating point, however: {result.dtype}")
    if missing.ndim and missing.shape != tuple(result.shape):
        raise ValueError(
            f"a table and its mask must have one shape, however: {key}.shape={tuple(result.shape)}, "
            f"{key}_missing.shape={tuple(missing.shape)}"
        )
    result[missing] = float("nan")
    return result if isinstance(content, torch.Tensor) else result.numpy()


SimulateMissingD = SimulateMissingDict = SimulateMissingd
RandTableCorruptionD = RandTableCorruptionDict = RandTableCorruptiond
