"""TIP: recovers a clinical table from an image and from what is left of the table (ECCV 2024, METHOD section 6)."""

import torch
import torch.nn.functional as F
from torch import nn

from dymo_med.networks.blocks.transformer import CrossAttentionBlock, initialize_weights
from dymo_med.networks.nets.image_encoder import ImageEncoder
from dymo_med.networks.nets.table_encoder import TableEncoder
from dymo_med.utils import TableDecoding, as_choice, rebuildable

__all__ = ["TIP"]


@rebuildable
class TIP(nn.Module):
    """Image encoder, table encoder and a Transformer in which table tokens attend to image tokens.

    Args:
        image_encoder: Encoder of the image.
        table_encoder: Encoder of the table; its width is the width of the multimodal Transformer.
        n_blocks: Blocks of the multimodal Transformer; 4 as published.
        n_heads: Heads of the multimodal Transformer; 8 as published.
        projection_dim: Size of the contrastive space; 128 as published.
        decoding: How categories are read, ``"column"`` or ``"global"``.
        temperature: Temperature of the contrastive scores, which also weigh the draw of hard negatives; 0.1.

    Shape:
        - ``image``: (B, C, X, Y); ``table``: (B, F), categories first; ``table_missing``: (B,) or (B, F)
        - output: the completed table (B, F)

    Example:
        >>> image = ImageEncoder(3, 32, block="basic", layers=[1] * 4, channels=[4, 4, 8, 8])
        >>> net = TIP(image, TableEncoder([2], 1, dim=8, n_blocks=1, n_heads=2), n_blocks=1, n_heads=2).eval()
        >>> net(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        table_encoder: TableEncoder,
        *,
        n_blocks: int = 4,
        n_heads: int = 8,
        projection_dim: int = 128,
        decoding: str = "column",
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        self.decoding = as_choice("decoding", decoding, TableDecoding)
        self.temperature = temperature
        self.encoder_imaging = image_encoder
        self.encoder_tabular = table_encoder
        dim = table_encoder.token_dim
        self.image_proj = nn.Linear(image_encoder.token_dim, dim)
        self.image_norm = nn.LayerNorm(dim)
        self.transformer_blocks = nn.ModuleList(CrossAttentionBlock(dim, n_heads) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(dim)
        self.cat_classifier = nn.Linear(dim, max(sum(table_encoder.cat_cardinalities), 1))
        self.con_regressor = nn.Linear(dim, 1)
        self.projector_imaging = _projection_head(image_encoder.token_dim, projection_dim)
        self.projector_tabular = _projection_head(dim, projection_dim)
        self.itm_head = nn.Linear(dim, 2)
        own = [self.image_proj, self.transformer_blocks, self.cat_classifier, self.con_regressor, self.itm_head]
        for module in [*own, self.projector_imaging, self.projector_tabular]:
            module.apply(initialize_weights)

    def forward(
        self,
        image: torch.Tensor,
        table: torch.Tensor | None = None,
        table_missing: torch.Tensor | None = None,
        *,
        corrupted: torch.Tensor | None = None,
        hidden: torch.Tensor | None = None,
    ) -> torch.Tensor | dict[str, torch.Tensor]:
        """Complete tables, or give what pre-training compares.

        Args:
            image: Images; every sample needs one.
            table: Tables; None = the whole table is missing for every sample.
            table_missing: Which cells are missing; None = none of ``table``.
            corrupted: For pre-training: the table with some cells replaced, shape (B, F).
            hidden: For pre-training: boolean (B, F), True = the cell is hidden and to be predicted.

        Returns:
            The completed table (B, F): observed cells as they are, category indices and standardised numbers
            elsewhere. With ``corrupted`` and ``hidden``, what the three pre-training losses compare:

            - ``image_projection``, ``table_projection``: L2-normalised features of image and corrupted table, (B, D)
            - ``match_logits``: scores of (no match, match) for the B true pairs, then B images with a wrong table, then
              B tables with a wrong image, (3 B, 2)
            - ``cat_logits``: scores over the categories of all columns, (B, n_cat, sum of cardinalities)
            - ``num_values``: predicted standardised numbers, (B, n_num)
        """
        columns = self.encoder_tabular.n_tokens
        if table is None:
            table = image.new_zeros(len(image), columns)
            table_missing = torch.ones_like(table, dtype=torch.bool)
        elif table_missing is None:
            table_missing = torch.zeros_like(table, dtype=torch.bool)
        elif table_missing.ndim == 1:
            table_missing = table_missing.unsqueeze(1).expand_as(table)
        features = self.image_tokens(image)
        if corrupted is not None and hidden is not None:
            return self._pretraining_output(features, table, table_missing, corrupted, hidden)
        return self.complete(features, table, table_missing)

    def image_tokens(self, image: torch.Tensor) -> torch.Tensor:
        """Encode images; shape (B, P, width of the image encoder)."""
        whole = torch.zeros(len(image), self.encoder_imaging.n_tokens, dtype=torch.bool, device=image.device)
        tokens: torch.Tensor = self.encoder_imaging(image, whole)
        return tokens

    def complete(self, image_tokens: torch.Tensor, table: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        """Fill the missing cells of tables in the light of image tokens; shape (B, F)."""
        cat_logits, num_values = self._predict(self._table_in_context(image_tokens, table, missing))
        predicted = torch.cat([self._decode(cat_logits).to(num_values.dtype), num_values], dim=1)
        return torch.where(missing, predicted, table)

    def _table_in_context(self, image_tokens: torch.Tensor, table: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        return self._in_context(self.encoder_tabular.encode_with_class_token(table, missing), image_tokens)

    def _in_context(self, table_tokens: torch.Tensor, image_tokens: torch.Tensor) -> torch.Tensor:
        context = self.image_norm(self.image_proj(image_tokens))
        for block in self.transformer_blocks:
            table_tokens = block(table_tokens, context)
        out: torch.Tensor = self.norm(table_tokens)
        return out

    def _predict(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n_categorical = len(self.encoder_tabular.cat_cardinalities)
        columns = tokens[:, 1:]
        return self.cat_classifier(columns[:, :n_categorical]), self.con_regressor(columns[:, n_categorical:]).squeeze(
            -1
        )

    def _decode(self, cat_logits: torch.Tensor) -> torch.Tensor:
        """Read category indices from logits over the categories of all columns."""
        sizes = torch.tensor(self.encoder_tabular.cat_cardinalities, dtype=torch.int64, device=cat_logits.device)
        offsets = self.encoder_tabular.offsets
        if self.decoding is TableDecoding.COLUMN:
            place = torch.arange(cat_logits.shape[-1], device=cat_logits.device)
            own = (place >= offsets.unsqueeze(1)) & (place < (offsets + sizes).unsqueeze(1))  # (n_cat, sum)
            cat_logits = cat_logits.masked_fill(~own, -torch.inf)
        index = cat_logits.argmax(-1) - offsets
        return torch.minimum(index.clamp_min(0), sizes - 1)

    def _pretraining_output(
        self,
        features: torch.Tensor,
        table: torch.Tensor,
        missing: torch.Tensor,
        corrupted: torch.Tensor,
        hidden: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        table_tokens = self.encoder_tabular.encode_with_class_token(corrupted, missing)
        image_projection = F.normalize(self.projector_imaging(features.mean(1)), dim=-1)
        table_projection = F.normalize(self.projector_tabular(table_tokens[:, 0]), dim=-1)
        wrong_table, wrong_image = self._hard_negatives(image_projection, table_projection)
        pairs_table = torch.cat([table_tokens, table_tokens[wrong_table], table_tokens])
        pairs_image = torch.cat([features, features, features[wrong_image]])
        match_logits = self.itm_head(self._in_context(pairs_table, pairs_image)[:, 0])
        cat_logits, num_values = self._predict(self._table_in_context(features, table, missing | hidden))
        return {
            "image_projection": image_projection,
            "table_projection": table_projection,
            "match_logits": match_logits,
            "cat_logits": cat_logits,
            "num_values": num_values,
        }

    @torch.no_grad()
    def _hard_negatives(self, image: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a wrong table for each image and a wrong image for each table, in proportion to their similarity."""
        if len(image) < 2:
            raise ValueError(f"contrastive pre-training needs at least 2 samples in a batch, however: {len(image)}")
        similarity = (image @ table.T / self.temperature).float()
        drawn = []
        for scores in (similarity, similarity.T):
            weights = torch.softmax(scores, dim=1).clamp_min(torch.finfo(torch.float32).tiny)
            drawn.append(torch.multinomial(weights.fill_diagonal_(0), 1).squeeze(1))
        return drawn[0], drawn[1]


def _projection_head(in_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_dim, in_dim), nn.ReLU(inplace=True), nn.Linear(in_dim, out_dim))
