"""Table encoder: one token per column through a Transformer (TIP, ECCV 2024)."""

from collections.abc import Sequence

import torch
from torch import nn

from dymo_med.networks.blocks.transformer import INITIAL_STD, TransformerBlock, initialize_weights
from dymo_med.networks.nets.encoder import ModalityEncoder
from dymo_med.utils import as_digest, rebuildable

__all__ = ["TableEncoder"]


@rebuildable
class TableEncoder(ModalityEncoder):
    """TIP's tabular Transformer (METHOD section 2).

    A category becomes a learned vector, a number a linear map of its standardised value; a missing column becomes one
    learned mask token. The class token comes first, column embeddings are added, then LayerNorm and pre-norm blocks in
    which nobody but itself sees a missing column.

    Args:
        cat_cardinalities: Number of categories of each categorical column; these columns come first.
        n_num_features: Number of continuous columns.
        dim: Width of the tokens; 512 as published.
        n_blocks: Number of blocks; 4 as published.
        n_heads: Number of heads; 8 as published.
        schema_digest: SHA-256 of the schema of the table, 64 hexadecimal digits; kept in a buffer, so that weights say
            which columns, categories and scales they belong to. None = unknown.

    Shape:
        - ``x``: (B, F) float, category indices then standardised numbers; ``missing``: (B, F)
        - output: (B, F, ``dim``); :meth:`encode_with_class_token` gives (B, 1 + F, ``dim``)

    Raises:
        ValueError: there is no column, or the digest is none.

    Example:
        >>> encoder = TableEncoder([2, 3], 1, dim=8, n_blocks=1, n_heads=2)
        >>> encoder(torch.tensor([[1.0, 2.0, 0.3]]), torch.zeros(1, 3, dtype=torch.bool)).shape
        torch.Size([1, 3, 8])
    """

    offsets: torch.Tensor
    schema_digest: torch.Tensor

    def __init__(
        self,
        cat_cardinalities: Sequence[int],
        n_num_features: int,
        *,
        dim: int = 512,
        n_blocks: int = 4,
        n_heads: int = 8,
        schema_digest: str | None = None,
    ) -> None:
        n_columns = len(cat_cardinalities) + n_num_features
        if n_columns == 0:
            raise ValueError(f"a table needs at least one column, however: {cat_cardinalities=}, {n_num_features=}")
        super().__init__(input_shape=(n_columns,), n_tokens=n_columns, token_dim=dim)
        self.cat_cardinalities = tuple(cat_cardinalities)
        self.n_num_features = n_num_features
        self.cat_embedding = nn.Embedding(max(sum(cat_cardinalities), 1), dim)
        self.con_proj = nn.Linear(1, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.mask_special_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.column_embedding = nn.Embedding(1 + n_columns, dim)
        self.norm = nn.LayerNorm(dim)
        self.transformer_blocks = nn.ModuleList(TransformerBlock(dim, n_heads) for _ in range(n_blocks))
        offsets = torch.tensor([0, *cat_cardinalities], dtype=torch.int64).cumsum(0)[:-1].clone()
        self.register_buffer("offsets", offsets, persistent=False)
        self.register_buffer("schema_digest", as_digest("schema_digest", schema_digest))
        self.apply(initialize_weights)
        for token in (self.cls_token, self.mask_special_token):
            nn.init.trunc_normal_(token, std=INITIAL_STD)

    def forward(self, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        """Give one token per column."""
        return self.encode_with_class_token(x, missing)[:, 1:]

    def encode_with_class_token(self, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        """Give the class token and one token per column; missing entries of ``x`` are not read."""
        tokens = self._embed(self.clean(x, missing))
        tokens = torch.where(missing.unsqueeze(-1), self.mask_special_token, tokens)
        tokens = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), tokens], dim=1)
        tokens = self.norm(tokens + self.column_embedding.weight)
        visible = torch.cat([missing.new_ones(x.shape[0], 1), ~missing], dim=1)
        itself = torch.eye(tokens.shape[1], dtype=torch.bool, device=x.device)
        attend = (visible.unsqueeze(1) | itself).unsqueeze(1)  # (B, 1, 1 + F, 1 + F)
        for block in self.transformer_blocks:
            tokens = block(tokens, attend)
        encoded: torch.Tensor = tokens
        return encoded

    def clean(self, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        """Zero the missing cells."""
        return torch.where(missing, 0.0, x)

    def _embed(self, x: torch.Tensor) -> torch.Tensor:
        n_categorical = len(self.cat_cardinalities)
        x_cat, x_num = x[:, :n_categorical], x[:, n_categorical:]
        categorical: torch.Tensor = self.cat_embedding(x_cat.long() + self.offsets)
        return torch.cat([categorical, self.con_proj(x_num.unsqueeze(-1))], dim=1)
