"""Pre-norm Transformer blocks with boolean key masks.

MONAI's attention blocks take no mask per query and compute every query; these do both, under the parameter names that
published weights use (``norm1``, ``attn.qkv``, ``mlp.fc1``, ...).
"""

import torch
import torch.nn.functional as F
from torch import nn

from dymo_med.utils import check_positive_int

__all__ = ["CrossAttention", "CrossAttentionBlock", "Mlp", "SelfAttention", "TransformerBlock", "initialize_weights"]

INITIAL_STD = 0.02
"""Standard deviation of Linear, Embedding and token initialization (BASELINES section 1.4)."""


class SelfAttention(nn.Module):
    """Multi-head self-attention with a joint projection of queries, keys and values.

    Args:
        dim: Width E; a multiple of ``n_heads``.
        n_heads: Number of heads.

    Shape:
        - ``x``: (B, P, E); output: (B, Q, E) with Q = ``n_queries`` or P

    Raises:
        ValueError: ``dim`` is not a multiple of ``n_heads``.

    Example:
        >>> SelfAttention(8, 2)(torch.zeros(1, 3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(self, dim: int, n_heads: int) -> None:
        _check_heads(dim, n_heads)
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)  # rows: q, k, v, each head by head
        self.proj = nn.Linear(dim, dim)

    def forward(
        self, x: torch.Tensor, attend: torch.Tensor | None = None, n_queries: int | None = None
    ) -> torch.Tensor:
        """Attend.

        Args:
            x: Tokens.
            attend: Boolean, broadcastable to (B, heads, Q, P); True = the query may look at the key. None = all may.
            n_queries: Compute only the first tokens as queries.
        """
        dim = x.shape[-1]
        queries = x if n_queries is None else x[:, :n_queries]
        query = _split_heads(F.linear(queries, self.qkv.weight[:dim]), self.n_heads)
        key, value = (_split_heads(part, self.n_heads) for part in F.linear(x, self.qkv.weight[dim:]).chunk(2, dim=-1))
        # scaled_dot_product_attention reads a boolean mask as True = takes part, unlike key_padding_mask
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=attend)
        merged: torch.Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return merged


class CrossAttention(nn.Module):
    """Multi-head attention of one sequence to another.

    Args:
        dim: Width E of the queries; a multiple of ``n_heads``.
        n_heads: Number of heads.

    Shape:
        - ``x``: (B, Q, E), ``context``: (B, P, E); output: (B, Q, E)

    Raises:
        ValueError: ``dim`` is not a multiple of ``n_heads``.

    Example:
        >>> CrossAttention(8, 2)(torch.zeros(1, 3, 8), torch.zeros(1, 5, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(self, dim: int, n_heads: int) -> None:
        _check_heads(dim, n_heads)
        super().__init__()
        self.n_heads = n_heads
        self.q_proj = nn.Linear(dim, dim)
        self.kv_proj = nn.Linear(dim, 2 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Let every token of ``x`` attend to all of ``context``."""
        query = _split_heads(self.q_proj(x), self.n_heads)
        key, value = (_split_heads(part, self.n_heads) for part in self.kv_proj(context).chunk(2, dim=-1))
        out = F.scaled_dot_product_attention(query, key, value)
        merged: torch.Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return merged


class Mlp(nn.Module):
    """Two linear layers with GELU between.

    Args:
        dim: Width in and out.
        ratio: Hidden width as a multiple of ``dim``; 4 in the papers.

    Example:
        >>> Mlp(8)(torch.zeros(1, 3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(self, dim: int, ratio: float = 4.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, int(dim * ratio))
        self.fc2 = nn.Linear(int(dim * ratio), dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Transform every token on its own."""
        out: torch.Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class TransformerBlock(nn.Module):
    """Pre-norm block: ``x += Attn(LN(x)); x += MLP(LN(x))``.

    Args:
        dim: Width E.
        n_heads: Number of heads.
        mlp_ratio: Hidden width of the MLP as a multiple of ``dim``.

    Shape:
        - ``x``: (B, P, E); output: (B, Q, E) with Q = ``n_queries`` or P

    Example:
        >>> TransformerBlock(8, 2)(torch.zeros(1, 3, 8), n_queries=1).shape
        torch.Size([1, 1, 8])
    """

    def __init__(self, dim: int, n_heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, n_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio)

    def forward(
        self, x: torch.Tensor, attend: torch.Tensor | None = None, n_queries: int | None = None
    ) -> torch.Tensor:
        """Transform the tokens; arguments as in :class:`SelfAttention`."""
        queries = x if n_queries is None else x[:, :n_queries]
        x = queries + self.attn(self.norm1(x), attend, n_queries)
        out: torch.Tensor = x + self.mlp(self.norm2(x))
        return out


class CrossAttentionBlock(nn.Module):
    """Pre-norm block of TIP's multimodal Transformer: self-attention, cross-attention to a context, MLP.

    Args:
        dim: Width E.
        n_heads: Number of heads.
        mlp_ratio: Hidden width of the MLP as a multiple of ``dim``.

    Shape:
        - ``x``: (B, Q, E), ``context``: (B, P, E); output: (B, Q, E)

    Example:
        >>> CrossAttentionBlock(8, 2)(torch.zeros(1, 3, 8), torch.zeros(1, 5, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(self, dim: int, n_heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, n_heads)
        self.cross_norm = nn.LayerNorm(dim)
        self.cross_attn = CrossAttention(dim, n_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Transform the tokens in the light of the context."""
        x = x + self.attn(self.norm1(x))
        x = x + self.cross_attn(self.cross_norm(x), context)
        out: torch.Tensor = x + self.mlp(self.norm2(x))
        return out


def initialize_weights(module: nn.Module) -> None:
    """Initialize one module as the papers do; for ``Module.apply``.

    Linear and Embedding weights are normal with standard deviation 0.02, biases zero, LayerNorm at identity;
    convolutions and BatchNorm keep their own initialization.
    """
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=INITIAL_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def _split_heads(x: torch.Tensor, n_heads: int) -> torch.Tensor:
    return x.reshape(*x.shape[:2], n_heads, -1).transpose(1, 2)  # (B, P, E) -> (B, heads, P, E / heads)


def _check_heads(dim: int, n_heads: int) -> None:
    check_positive_int("dim", dim)
    check_positive_int("n_heads", n_heads)
    if dim % n_heads:
        raise ValueError(f"dim must be a multiple of n_heads, however: dim={dim}, n_heads={n_heads}")
