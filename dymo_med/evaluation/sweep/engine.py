"""The sweep: inputs are encoded once, every missing pattern, recovery and strategy is decided on those tokens."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dymo_med.evaluation.sweep.cells import BoolArray, Cell, Mechanism, cells_of, hide
from dymo_med.evaluation.sweep.records import SCHEMA, columns_of
from dymo_med.inferers import Policy, build_bank, encode_shared
from dymo_med.networks.nets import MultimodalTransformer
from dymo_med.recovery.base import Recovery
from dymo_med.selection import FusedStates, select
from dymo_med.utils import (
    ICSWeight,
    Strategy,
    atomic_path,
    check_positive_int,
    progress_bar,
    read_json,
    write_json,
)

__all__ = ["PREDICTIONS_FILE", "sweep"]

PREDICTIONS_FILE = "predictions.parquet"
SETTINGS_FILE = "sweep.json"
PARTS_FOLDER = "parts"

NDArrayInt = np.ndarray[Any, np.dtype[np.int64]]
Batches = Any  # iterable of MONAI batches, with a length


@dataclass(frozen=True)
class _Versions:
    """Different states of the inputs of a block; each cell and subject of the block points to one."""

    rows: NDArrayInt  # (U,) subject of each version
    missing: dict[str, BoolArray]  # by modality (U, P)
    place: NDArrayInt  # (cells, B) version of each cell and subject
    hidden_share: np.ndarray[Any, np.dtype[np.float64]]  # (cells, B)


def sweep(
    network: MultimodalTransformer,
    loader: Batches,
    output_dir: str | Path,
    *,
    mechanisms: Mapping[str, Mechanism],
    rates: Sequence[float],
    seeds: Sequence[int],
    recoveries: Mapping[str, Sequence[Recovery]],
    policies: Mapping[str, Policy],
    temperature: float = 0.1,
    versions_at_once: int = 256,
    title: str = "sweep",
) -> Path:
    """Predict the same subjects under every mechanism, rate, seed, set of recoveries and policy.

    Modalities that never go in part, such as images, are encoded once a subject; a table once for every different set
    of gaps, and once more for every recovery of it; every state of the tokens is fused once, for all policies and sets
    of recoveries. Each block of subjects, one batch of the loader, becomes one file; a sweep that was interrupted goes
    on after the last complete one. The network is set to evaluation mode.

    Args:
        network: Network with fitted class statistics, on its device.
        loader: Batches of labeled subjects in a fixed order, natural gaps only: every modality with its mask, ``label``
            and ``subject_id``. It has a length.
        output_dir: Folder of the sweep; the same folder and settings continue it.
        mechanisms: What hides, by name.
        rates: Missing rates in [0, 1].
        seeds: Seeds of the draws; results are means over them.
        recoveries: Sets of recoveries that compete with each other, by name. A recovery may be in several sets; its
            preference is its place in the first of them.
        policies: Policies by name.
        temperature: Softmax temperature of the confidence.
        versions_at_once: States of the inputs that are held as tokens together; bounds the memory.
        title: Name of the progress bar over the blocks.

    Returns:
        The Parquet file of all predictions, columns of :data:`dymo_med.evaluation.sweep.records.SCHEMA`.

    Raises:
        KeyError: a batch lacks labels or subjects.
        ValueError: the folder holds a sweep of other settings or subjects, or an option does not fit.
    """
    check_positive_int("versions_at_once", versions_at_once)
    cells = cells_of(mechanisms, rates, seeds)
    for name, mechanism in mechanisms.items():
        if mechanism.modality not in network.modalities:
            raise ValueError(
                f"a mechanism must hide one of {list(network.modalities)}, however: {name!r} hides "
                f"{mechanism.modality!r}"
            )
    if not recoveries or not policies:
        raise ValueError(
            f"a sweep needs sets of recoveries and policies, however: {list(recoveries)} and {list(policies)}"
        )
    output_dir = Path(output_dir)
    plan = _Plan(network.eval(), mechanisms, cells, recoveries, policies, temperature, versions_at_once)
    names = [(recovery.target, recovery.name) for recovery in plan.distinct]
    if len(set(names)) < len(names):
        raise ValueError(f"different recoveries of one modality need different names, however: {names}")
    _keep_settings(output_dir, plan.settings())
    result = output_dir / PREDICTIONS_FILE
    if result.exists():
        return result
    parts = []
    with progress_bar(title, "block") as show:
        for number, batch in enumerate(loader):
            path = output_dir / PARTS_FOLDER / f"{number:06d}.parquet"
            if path.exists():
                _check_subjects(path, batch)
            else:
                table = plan.predict(batch)
                with atomic_path(path) as temporary:
                    pq.write_table(table, temporary)
            parts.append(path)
            show(number + 1, len(loader))
    if not parts:
        raise ValueError(f"a sweep needs at least one subject, however: the loader has {len(parts)} batches")
    with atomic_path(result) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        for path in parts:
            writer.write_table(pq.read_table(path, schema=SCHEMA))
    for path in parts:
        path.unlink()
    return result


@dataclass(frozen=True)
class _Plan:
    network: MultimodalTransformer
    mechanisms: Mapping[str, Mechanism]
    cells: Sequence[Cell]
    recoveries: Mapping[str, Sequence[Recovery]]
    policies: Mapping[str, Policy]
    temperature: float
    versions_at_once: int

    @property
    def distinct(self) -> list[Recovery]:
        """Every recovery once, whatever sets it is in."""
        return list(dict.fromkeys(recovery for group in self.recoveries.values() for recovery in group))

    def settings(self) -> dict[str, Any]:
        """Give what the predictions depend on, as plain values."""
        return {
            "mechanisms": {name: mechanism.to_record() for name, mechanism in self.mechanisms.items()},
            "cells": [[cell.mechanism, cell.rate, cell.seed] for cell in self.cells],
            "recoveries": {name: [each.name for each in group] for name, group in self.recoveries.items()},
            "policies": {name: policy.to_record() for name, policy in self.policies.items()},
            "temperature": self.temperature,
            "weights": _digest([self.network, *self.distinct]),
        }

    @torch.no_grad()
    def predict(self, batch: Mapping[str, Any]) -> pa.Table:
        """Predict a block of subjects in all cells."""
        for key in ("subject_id", "label"):
            if key not in batch:
                raise KeyError(
                    f"a sweep needs {key!r} of every subject, however: a batch has {sorted(map(str, batch))}"
                )
        inputs, missing = self._bound(batch)
        in_part = {mechanism.modality for mechanism in self.mechanisms.values() if not mechanism.hides_whole}
        fixed = [name for name in inputs if name not in in_part]
        encoded = encode_shared(self.network, inputs, missing, self.distinct, fixed)
        versions = self._versions([str(subject) for subject in batch["subject_id"]], missing)
        found: dict[tuple[str, str], list[dict[str, np.ndarray[Any, Any]]]] = {}
        for start in range(0, len(versions.rows), self.versions_at_once):
            part = slice(start, start + self.versions_at_once)
            rows = torch.from_numpy(versions.rows[part]).to(next(iter(inputs.values())).device)
            gaps = {name: torch.from_numpy(mask[part]).to(rows.device) for name, mask in versions.missing.items()}
            bank = build_bank(
                self.network,
                {name: content[rows] for name, content in inputs.items()},
                gaps,
                self.distinct,
                encoded.rows(rows),
            )
            for combination, columns in self._decide(bank):
                found.setdefault(combination, []).append(columns)
        return self._table(batch, versions, found)

    def _bound(self, batch: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        device = self.network.cls_token.device
        names = [*self.network.modalities, *(f"{name}_missing" for name in self.network.modalities)]
        return self.network.bind(**{name: batch[name].to(device) for name in names if name in batch})

    def _versions(self, subject_ids: Sequence[str], missing: Mapping[str, torch.Tensor]) -> _Versions:
        """Find the different states of the inputs over all cells."""
        natural = {name: mask.cpu().numpy() for name, mask in missing.items()}
        widths = np.cumsum([mask.shape[1] for mask in natural.values()])[:-1]
        whole = np.concatenate(list(natural.values()), axis=1)  # (B, all P)
        states, shares = [], []
        for cell in self.cells:
            mechanism = self.mechanisms[cell.mechanism]
            before = natural[mechanism.modality]
            after = hide(cell, mechanism, subject_ids, before)
            states.append(np.concatenate([*(natural | {mechanism.modality: after}).values()], axis=1))
            observed = (~before).sum(1)
            share = np.full(len(before), np.nan)
            np.divide((after & ~before).sum(1), observed, out=share, where=observed > 0)
            shares.append(share)
        subject = np.tile(np.arange(len(whole)), len(self.cells))
        keys = np.column_stack([subject, np.packbits(np.concatenate(states), axis=1).astype(np.int64)])
        _, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        masks = np.split(np.concatenate(states)[first], widths, axis=1)
        return _Versions(
            rows=subject[first],
            missing=dict(zip(natural, masks, strict=True)),
            place=place.reshape(len(self.cells), len(whole)),
            hidden_share=np.stack(shares),
        )

    def _decide(self, bank: Any) -> Iterator[tuple[tuple[str, str], dict[str, np.ndarray[Any, Any]]]]:
        fused = FusedStates(self.network.fuse, bank)
        for group, members in self.recoveries.items():
            chosen = bank.only([recovery.name for recovery in members])
            for name, policy in self.policies.items():
                selection = select(
                    fused,
                    chosen,
                    self.network.statistics,
                    strategy=Strategy(policy.strategy),
                    ics_weight=ICSWeight(policy.ics_weight),
                    temperature=self.temperature,
                    threshold=policy.thresholds(chosen),
                )
                yield (group, name), columns_of(selection, chosen)

    def _table(
        self,
        batch: Mapping[str, Any],
        versions: _Versions,
        found: Mapping[tuple[str, str], Sequence[Mapping[str, np.ndarray[Any, Any]]]],
    ) -> pa.Table:
        n_cells, n_subjects = versions.place.shape
        head = {
            "subject_id": np.tile(np.array([str(subject) for subject in batch["subject_id"]], dtype=object), n_cells),
            "label": np.tile(torch.as_tensor(batch["label"]).cpu().numpy().astype(np.int8), n_cells),
            "mechanism": np.repeat(np.array([cell.mechanism for cell in self.cells], dtype=object), n_subjects),
            "rate": np.repeat([cell.rate for cell in self.cells], n_subjects),
            "seed": np.repeat([cell.seed for cell in self.cells], n_subjects),
            "hidden_share": versions.hidden_share.ravel(),
        }
        place = versions.place.ravel()
        tables = []
        for (group, name), parts in found.items():
            decided = {column: np.concatenate([part[column] for part in parts])[place] for column in parts[0]}
            size = len(place)
            named = {"recovery": np.full(size, group, dtype=object), "strategy": np.full(size, name, dtype=object)}
            columns = head | named | decided
            arrays = [pa.array(columns[field.name], type=field.type) for field in SCHEMA]
            tables.append(pa.Table.from_arrays(arrays, schema=SCHEMA))
        return pa.concat_tables(tables).unify_dictionaries()


def _keep_settings(output_dir: Path, settings: dict[str, Any]) -> None:
    path = output_dir / SETTINGS_FILE
    if path.exists():
        before = read_json(path)
        changed = sorted(key for key in settings.keys() | before.keys() if settings.get(key) != before.get(key))
        if changed:
            raise ValueError(
                f"a sweep goes on with the settings it began with, however: changed are {changed} of {path.name}; "
                "choose another folder, or remove this one"
            )
        return
    write_json(path, settings)


def _check_subjects(path: Path, batch: Mapping[str, Any]) -> None:
    before = set(pq.read_table(path, columns=["subject_id"])["subject_id"].unique().to_pylist())
    n_differ = len(before.symmetric_difference(map(str, batch["subject_id"])))
    if n_differ:
        raise ValueError(
            f"a sweep goes on with the subjects it began with, however: {n_differ} of block {path.stem} are in only "
            "one of the two; keep cohort, order and batch size, or choose another folder"
        )


def _digest(modules: Sequence[torch.nn.Module]) -> str:
    digest = hashlib.sha256()
    for module in modules:
        for name, value in module.state_dict().items():
            digest.update(name.encode("utf-8"))
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
