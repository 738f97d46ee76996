"""A published checkpoint: its parameters, their shapes, and how they get into a network."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dymo_med.interop.archive import TorchFile
from dymo_med.interop.pickles import TensorRecord

__all__ = ["UNUSED_KEYS", "Checkpoint", "Names", "published_name"]

Names = tuple[tuple[str, str | None], ...]
"""Beginnings of own parameter names and what they are in published files; None = not there. The first that fits counts;
a name without one is the same in both."""

UNUSED_KEYS = frozenset(
    {
        "epoch",
        "optimizer",
        "scheduler",
        "best_val_score",
        "global_step",
        "pytorch-lightning_version",
        "callbacks",
        "loops",
        "optimizer_states",
        "lr_schedulers",
        "hparams_name",
        "hparams_type",
        "native_amp_scaling_state",
    }
)
"""What checkpoints hold beside parameters and settings: the state of their training."""


class Checkpoint:
    """Parameters of a checkpoint by published name, on disk until :meth:`fill` reads them.

    Args:
        path: File with ``state_dict`` and, if settings are needed, ``hyper_parameters``.

    Attributes:
        settings: The hyper-parameters as data, None if there are none.
        unused: Entries beside them that are known and not needed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, or holds an entry that is not known.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.ckpt"
        >>> torch.save({"state_dict": {"layer.weight": torch.ones(2, 3)}, "epoch": 4}, path)
        >>> checkpoint = Checkpoint(path)
        >>> checkpoint.shape("layer.weight"), checkpoint.unused
        ((2, 3), ['epoch'])
    """

    def __init__(self, path: str | Path) -> None:
        self._file = TorchFile(path)
        self.name = self._file.name
        content = self._file.content
        if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
            found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
            raise ValueError(f"{self.name} must hold 'state_dict', however: {found}: pass a checkpoint of a training")
        unknown = content.keys() - UNUSED_KEYS - {"state_dict", "hyper_parameters"}
        if unknown:
            raise ValueError(
                f"{self.name} must hold known entries only, however: additional {sorted(map(str, unknown))}: "
                "pass a checkpoint as DyMo or TIP wrote it"
            )
        self._records: dict[str, TensorRecord] = {}
        for name, record in content["state_dict"].items():
            if not isinstance(record, TensorRecord):
                found = type(record).__name__
                raise ValueError(
                    f"parameters of {self.name} must be tensors, however: {name!r} is {found}: get it again"
                )
            self._file.check(str(name), record)
            self._records[str(name)] = record
        self.settings: Any = content.get("hyper_parameters")
        self.unused = sorted(content.keys() & UNUSED_KEYS)

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def shape(self, name: str) -> tuple[int, ...]:
        """Give the shape of a parameter.

        Raises:
            ValueError: there is no such parameter.
        """
        if name not in self._records:
            raise ValueError(
                f"{self.name} must hold all parameters, however: {name!r} is missing: pass the checkpoint of a model "
                "that can be converted"
            )
        return self._records[name].shape

    def below(self, prefix: str) -> list[str]:
        """Give the parameters whose names begin with ``prefix``."""
        return [name for name in self._records if name.startswith(prefix)]

    def count(self, prefix: str) -> int:
        """Give the number of children 0, 1, 2, ... of a name that ends with a dot.

        Raises:
            ValueError: there is none, or a number is left out.
        """
        children = {name[len(prefix) :].split(".")[0] for name in self.below(prefix)}
        if not children or children != {str(number) for number in range(len(children))}:
            raise ValueError(
                f"{self.name} must number the parts of {prefix!r} from 0 on, however: {sorted(children)}: get it again"
            )
        return len(children)

    def fill(
        self, network: nn.Module, names: Names, *, unused: Collection[str] = (), zeroed: Collection[str] = ()
    ) -> None:
        """Put all parameters into a network.

        Args:
            network: Network of the sizes that the shapes tell.
            names: How its parameters are called in the file.
            unused: Beginnings of published names that are known and not needed.
            zeroed: Own names that are not read and set to zero.

        Raises:
            ValueError: a parameter is missing, additional, of another shape or kind, or not finite; the text names it.
        """
        state = network.state_dict()
        own_names = {published_name(name, names): name for name in state if name not in zeroed}
        expected = {published: name for published, name in own_names.items() if published is not None}
        self._check_names(expected.keys(), unused, type(network).__name__)
        for published, name in expected.items():
            if self.shape(published) != state[name].shape:
                raise ValueError(
                    f"{published!r} of {self.name} must have shape {tuple(state[name].shape)}, as others tell, "
                    f"however: {self.shape(published)}: get the file again"
                )
        for published, value in self._file.tensors({name: self._records[name] for name in expected}).items():
            wanted = state[expected[published]].dtype
            if value.dtype.is_floating_point != wanted.is_floating_point or not bool(value.isfinite().all()):
                raise ValueError(
                    f"{published!r} of {self.name} must be finite numbers like {wanted}, however: {value.dtype} with "
                    f"{int((~value.isfinite()).sum())} that are not finite: get the file again"
                )
            state[expected[published]] = value
        network.load_state_dict(state | {name: torch.zeros_like(state[name]) for name in zeroed})

    def _check_names(self, expected: Collection[str], unused: Collection[str], network: str) -> None:
        missing = set(expected) - self._records.keys()
        additional = {name for name in self._records.keys() - set(expected) if not name.startswith(tuple(unused))}
        for problem, found in (("is missing", missing), ("is additional", additional)):
            if found:
                raise ValueError(
                    f"{self.name} must hold exactly the parameters of {network}, however: {min(found)!r} {problem} "
                    f"({len(found)} in all): pass the checkpoint of a model that can be converted"
                )


def published_name(own: str, names: Names) -> str | None:
    """Translate one parameter name; None = it has no counterpart.

    Example:
        >>> published_name("norms.image.weight", (("norms.image.", "m_norms.0."),))
        'm_norms.0.weight'
    """
    for beginning, published in names:
        if own.startswith(beginning):
            return None if published is None else published + own[len(beginning) :]
    return own
