"""The classifier of DyMo: encoders, a small Transformer over their tokens, a class head and a metric space."""

import inspect
from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from dymo_med.missingness.subsets import enumerate_subsets
from dymo_med.networks.blocks.packing import pack_rows
from dymo_med.networks.blocks.transformer import INITIAL_STD, TransformerBlock, initialize_weights
from dymo_med.networks.nets.encoder import ModalityEncoder
from dymo_med.selection import ClassStatistics, Fused, Tokens, normalize
from dymo_med.utils import Metric, as_choice, check_bool_mask, check_positive_int, check_shape, n_processes, rebuildable

__all__ = ["MultimodalTransformer"]


@rebuildable
class MultimodalTransformer(nn.Module):
    """Classify any combination of modalities and place it in a metric space (METHOD section 2).

    :meth:`encode` turns one modality into tokens, once and independent of all others; :meth:`fuse` classifies any
    combination of tokens. Prototypes of training and the class statistics of selection are buffers: a checkpoint is the
    model.

    Args:
        encoders: Encoder of each modality by name; their order is the order of modalities everywhere.
        n_classes: Number of classes K.
        dim: Width E of the fused tokens; 256 as published for UK Biobank.
        n_blocks: Number of fusion blocks; 2 as published.
        n_heads: Number of heads; 8 as published.
        embedding_dim: Size D of the metric space; 128 as published.
        metric: Distance in the metric space, ``"cosine"`` or ``"squared_euclidean"``.

    Shape:
        - :meth:`forward`: inputs of the modalities, then their masks; output (B, K) logits
        - :meth:`encode`: ``x`` (B, ...), ``missing`` (B,) or (B, P); output tokens (B, P, E)
        - :meth:`fuse`: logits (B, K), embedding (B, D)

    Raises:
        ValueError: there is no encoder or a size is not positive.

    Example:
        >>> from dymo_med.networks.nets import TableEncoder
        >>> encoders = {"labs": TableEncoder([2], 1, dim=8, n_blocks=1, n_heads=2)}
        >>> net = MultimodalTransformer(encoders, n_classes=2, dim=8, n_heads=2, embedding_dim=4)
        >>> net(labs=torch.zeros(3, 2), labs_missing=torch.zeros(3, dtype=torch.bool)).shape
        torch.Size([3, 2])
    """

    prototypes: torch.Tensor

    def __init__(
        self,
        encoders: Mapping[str, ModalityEncoder],
        n_classes: int,
        *,
        dim: int = 256,
        n_blocks: int = 2,
        n_heads: int = 8,
        embedding_dim: int = 128,
        metric: str = "cosine",
    ) -> None:
        if not encoders:
            raise ValueError(f"a network needs at least one modality, however: encoders={dict(encoders)}")
        for name, value in {"n_classes": n_classes, "n_blocks": n_blocks, "embedding_dim": embedding_dim}.items():
            check_positive_int(name, value)
        super().__init__()
        self.modalities = tuple(encoders)
        self.metric = as_choice("metric", metric, Metric)
        self.encoders = nn.ModuleDict(encoders)
        self.projections = nn.ModuleDict({name: nn.Linear(each.token_dim, dim) for name, each in encoders.items()})
        self.norms = nn.ModuleDict({name: nn.LayerNorm(dim) for name in encoders})
        n_tokens = [encoder.n_tokens for encoder in encoders.values()]
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.modality_embeddings = nn.Embedding(len(encoders), dim)
        self.pos_embeddings = nn.Parameter(torch.zeros(1, 1 + sum(n_tokens), dim))
        self.transformer = nn.ModuleList(TransformerBlock(dim, n_heads) for _ in range(n_blocks))
        self.classifier = nn.Linear(dim, n_classes)
        self.projection = nn.Linear(dim, embedding_dim)
        self.register_buffer("prototypes", torch.zeros(n_classes, embedding_dim))
        self.statistics = ClassStatistics(len(encoders), n_classes, embedding_dim, self.metric)

        starts = [1 + sum(n_tokens[:index]) for index in range(len(n_tokens))]
        self._span = {name: (a, a + n) for name, a, n in zip(self.modalities, starts, n_tokens, strict=True)}
        self._signature = self._make_signature()
        own = [self.projections, self.norms, self.modality_embeddings, self.transformer, self.classifier]
        for module in [*own, self.projection]:
            module.apply(initialize_weights)
        for token in (self.cls_token, self.pos_embeddings):
            nn.init.trunc_normal_(token, std=INITIAL_STD)

    def forward(
        self,
        *args: torch.Tensor | None,
        subsets: torch.Tensor | None = None,
        **kwargs: torch.Tensor | None,
    ) -> torch.Tensor | Fused:
        """Classify a batch.

        Positional arguments are the modalities in order, then their masks in the same order; by name they are
        ``<modality>`` and ``<modality>_missing``. Every one but the first may be left out: a modality that is None is
        absent for the whole batch; a mask that is None says that its modality is present.

        Args:
            args: Modality tensors (B, ...), then masks (B,) or (B, P), boolean with True = absent.
            subsets: Boolean (A, M), True = the modality is used; fuses the batch once for each subset on tokens that
                are encoded once, for training.
            kwargs: The same by name.

        Returns:
            Logits (B, K); with ``subsets``, the fused result with a leading axis A, where a sample of which nothing in
            the subset was observed has nan.

        Raises:
            TypeError: an argument is unknown, given twice, or the first is absent.
            ValueError: a sample has no observed modality; the text gives its position in the batch.
        """
        inputs, missing = self.bind(*args, **kwargs)
        tokens = {name: self.encode(name, x, missing[name]) for name, x in inputs.items()}
        absent = torch.stack([part.missing.all(1) for part in tokens.values()]).all(0)
        if bool(absent.any()):
            positions = absent.nonzero().flatten().tolist()
            raise ValueError(
                f"every sample needs one observed modality of {list(self.modalities)}, however: nothing at positions "
                f"{positions} of the batch; leave these samples out"
            )
        if subsets is None:
            return self.fuse(tokens).logits
        results = [self._fuse_subset(tokens, subset) for subset in subsets.tolist()]
        return Fused(*(torch.stack(parts) for parts in zip(*results, strict=True)))

    def bind(
        self, *args: torch.Tensor | None, **kwargs: torch.Tensor | None
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Sort the arguments of :meth:`forward` by modality.

        Args:
            args: Modality tensors, then masks, by position.
            kwargs: The same by name.

        Returns:
            Contents and masks (B, P) by name for every modality; zeros and an all-True mask for those that are None.

        Raises:
            TypeError: an argument is unknown, given twice, the first is absent, or a mask is not boolean.
            ValueError: a shape does not fit.
        """
        try:
            given = self._signature.bind(*args, **kwargs).arguments
        except TypeError as err:
            raise TypeError(f"inputs must be {self._signature}, however: {err}") from err
        first = given.get(self.modalities[0])
        if first is None:
            raise TypeError(f"{self.modalities[0]} must be a tensor, however: None; mark absent samples in its mask")
        inputs, missing = {}, {}
        for name in self.modalities:
            x, mask = given.get(name), given.get(f"{name}_missing")
            if x is None:
                x = first.new_zeros(len(first), *self._encoder(name).input_shape)
                mask = torch.ones(len(first), dtype=torch.bool, device=first.device)
            check_shape(name, x, (len(first), *self._encoder(name).input_shape))
            inputs[name], missing[name] = x, self._token_mask(name, x, mask)
        return inputs, missing

    def encode(self, name: str, x: torch.Tensor, missing: torch.Tensor | None = None) -> Tokens:
        """Encode one modality; samples of which nothing is present cost nothing.

        Args:
            name: Modality.
            x: Its content, shape (B, ...); what stands in missing entries is never read.
            missing: Boolean, shape (B,) or (B, P); None = nothing is missing.

        Returns:
            Tokens with modality and position embedding, ready to be fused.

        Raises:
            KeyError: the modality is unknown.
            TypeError: ``missing`` is not boolean.
            ValueError: ``missing`` has another shape.
        """
        missing = self._token_mask(name, x, missing)
        return self.project(name, self.features(name, x, missing), missing)

    def features(self, name: str, x: torch.Tensor, missing: torch.Tensor | None = None) -> torch.Tensor:
        """Run the encoder of a modality on the samples of which something is present; arguments of :meth:`encode`.

        Returns:
            Output of the encoder, shape (B, P, width of the encoder); zeros for samples of which nothing is present.

        Raises:
            KeyError: the modality is unknown.
            TypeError: ``missing`` is not boolean.
            ValueError: ``missing`` has another shape.
        """
        missing = self._token_mask(name, x, missing)
        encoder = self._encoder(name)
        rows = (~missing.all(1)).nonzero().flatten()
        if len(rows) == len(x):
            encoded: torch.Tensor = encoder(encoder.clean(x, missing), missing)
            return encoded
        zeros = x.new_zeros(len(x), encoder.n_tokens, encoder.token_dim)
        if not len(rows) and not (self.training and n_processes() > 1):  # others may wait for it in their BatchNorm
            return zeros
        encoded = encoder(encoder.clean(x[rows], missing[rows]), missing[rows])
        return zeros.to(encoded.dtype).index_copy(0, rows, encoded)

    def project(self, name: str, features: torch.Tensor, missing: torch.Tensor) -> Tokens:
        """Turn what the encoder of a modality gave into tokens that can be fused.

        Args:
            name: Modality.
            features: Output of its encoder, shape (B, P, width of the encoder).
            missing: Boolean, shape (B, P).

        Returns:
            Tokens with modality and position embedding.
        """
        values = self.norms[name](self.projections[name](features))
        values = torch.where(missing.unsqueeze(-1), 0.0, values)
        values = values + self.modality_embeddings.weight[self.modalities.index(name)]
        start, stop = self._span[name]
        return Tokens(values + self.pos_embeddings[:, start:stop], missing)

    def fuse(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Classify a combination of modalities; names that are left out are absent.

        On a CPU missing tokens cost nothing. Elsewhere they are computed and hidden, which needs no look at the masks.

        Args:
            tokens: Tokens by modality, from :meth:`encode`.

        Returns:
            Logits and the feature in the metric space.

        Raises:
            ValueError: no modality of the network is among the tokens.
        """
        x, visible = self._sequence(tokens)
        if x.device.type != "cpu":
            return self._heads(self._class_token(x, visible))
        groups = pack_rows(visible)
        parts = [self._class_token(*_taken(x, visible, rows, places)) for rows, places in groups]
        order = torch.cat([rows for rows, _ in groups]).argsort()
        return self._heads(torch.cat(parts)[order])

    def fuse_static(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Do what :meth:`fuse` does by the same operations for every content, as an exported graph must."""
        return self._heads(self._class_token(*self._sequence(tokens)))

    @property
    def subsets(self) -> torch.Tensor:
        """All non-empty subsets of modalities, boolean (S, M), True = in the subset."""
        return enumerate_subsets(len(self.modalities))

    def _fuse_subset(self, tokens: Mapping[str, Tokens], subset: list[bool]) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = {name: tokens[name] for name, is_used in zip(self.modalities, subset, strict=True) if is_used}
        fused = self.fuse(chosen)
        absent = torch.stack([part.missing.all(1) for part in chosen.values()]).all(0).unsqueeze(1)
        return torch.where(absent, torch.nan, fused.logits), torch.where(absent, torch.nan, fused.embedding)

    def _sequence(self, tokens: Mapping[str, Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the class token and all given tokens in a row: values (B, 1 + P, E), visible (B, 1 + P)."""
        used = [tokens[name] for name in self.modalities if name in tokens]
        if not used:
            raise ValueError(f"tokens must hold a modality of {list(self.modalities)}, however: {sorted(tokens)}")
        n_samples = used[0].values.shape[0]
        cls = (self.cls_token + self.pos_embeddings[:, :1]).expand(n_samples, -1, -1)
        x = torch.cat([cls.to(used[0].values.dtype), *(part.values for part in used)], dim=1)
        visible = torch.cat([cls.new_ones(n_samples, 1, dtype=torch.bool), *(~part.missing for part in used)], dim=1)
        return x, visible

    def _class_token(self, x: torch.Tensor, visible: torch.Tensor | None) -> torch.Tensor:
        attend = None if visible is None else visible[:, None, None, :]
        for index, block in enumerate(self.transformer):
            is_last = index == len(self.transformer) - 1
            x = block(x, attend, n_queries=1 if is_last else None)  # only the class token is read after the last
        return x[:, 0]

    def _heads(self, cls: torch.Tensor) -> Fused:
        return Fused(self.classifier(cls), normalize(self.projection(cls), self.metric))

    def _encoder(self, name: str) -> ModalityEncoder:
        if name not in self._span:
            raise KeyError(f"modality must be one of {list(self.modalities)}, however: {name!r}")
        return cast(ModalityEncoder, self.encoders[name])

    def _token_mask(self, name: str, x: torch.Tensor, missing: torch.Tensor | None) -> torch.Tensor:
        shape = (len(x), self._encoder(name).n_tokens)
        if missing is None:
            return torch.zeros(shape, dtype=torch.bool, device=x.device)
        check_bool_mask(f"{name}_missing", missing)
        if missing.shape == shape[:1]:
            return missing.unsqueeze(1).expand(shape)
        if missing.shape != shape:
            raise ValueError(f"{name}_missing must have shape {shape[:1]} or {shape}, however: {tuple(missing.shape)}")
        return missing

    def _make_signature(self) -> inspect.Signature:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = [*self.modalities, *(f"{name}_missing" for name in self.modalities)]
        first = inspect.Parameter(names[0], kind)
        return inspect.Signature([first, *(inspect.Parameter(name, kind, default=None) for name in names[1:])])


def _taken(
    x: torch.Tensor, visible: torch.Tensor, rows: torch.Tensor, places: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Take the tokens of a group (G, L, E) and which of them are visible; None = all."""
    flat = (rows.unsqueeze(1) * x.shape[1] + places).flatten()
    taken = x.flatten(0, 1).index_select(0, flat).view(*places.shape, -1)
    here = visible.flatten().index_select(0, flat).view(places.shape)
    return taken, None if bool(here.all()) else here
