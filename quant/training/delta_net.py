"""Computes DeltaNet's gated delta rule in chunks, forward and backward, with memory linear in the length.

A layer keeps one matrix S per head. Every token decays it, corrects it and reads it (Yang et al., "Gated Delta
Networks", arXiv 2412.06464)::

    S_t = exp(g_t) S_{t-1} + beta_t k_t (v_t - exp(g_t) S_{t-1}^T k_t)^T          o_t = S_t^T q_t

Tokens are taken CHUNK at a time. Within a chunk everything is a matrix product, see `_Chunks`; between chunks the
state follows S_{n+1} = M_n S_n + B_n, one batched product per chunk. The backward pass is written by hand: it stores
only its inputs and recomputes the rest, so that memory does not depend on what autograd would store. Heads are
independent; SLICE limits how many are computed at a time. Compiling the code between the products gained nothing on
an H200 (docs/log.md).

flash-linear-attention is faster, if it is installed and its results are correct; `choose` decides and says why.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

CHUNK = 64
SLICE = 2**17
"""Tokens x heads computed at a time: about 3 GB in the backward pass with 128 channels per head."""
_EPSILON = 1e-6
_RULE, _RULE_OF_A_LAYER, _CONVOLUTION = "torch_chunk_gated_delta_rule", "chunk_gated_delta_rule", "causal_conv1d_fn"
"""Names of a layer's functions in transformers."""


def gated_delta_rule(query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    """Outputs of one layer, from an empty state.

    Args:
        query, key: `(rows, length, heads, key channels)`; normalised to length 1 here, and queries scaled.
        value: `(rows, length, heads, value channels)`.
        g: `(rows, length, heads)`, the logarithm of the decay, at most 0.
        beta: `(rows, length, heads)`, in [0, 1].

    Returns:
        Of the shape and dtype of `value`. Computed in float32 (products in TF32 on a GPU), or in float64 for float64
        inputs.
    """
    found: Tensor = _rule(query, key, value, g, beta)
    return found


@torch.library.custom_op("annie_quant::gated_delta_rule", mutates_args=())
def _rule(query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    out = torch.empty_like(value, memory_format=torch.contiguous_format)
    with torch.no_grad(), _tf32():
        for heads in _slices(value):
            chunks = _Chunks(*(x[:, :, heads] for x in (query, key, value, g, beta)))
            chunks.join(chunks.forward(), out[:, :, heads])
    return out


@_rule.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    return torch.empty_like(value, memory_format=torch.contiguous_format)


@torch.library.custom_op("annie_quant::gated_delta_rule_backward", mutates_args=())
def _rule_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    inputs = (query, key, value, g, beta)
    grads = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in inputs]
    with torch.no_grad(), _tf32():
        for heads in _slices(value):
            chunks = _Chunks(*(x[:, :, heads] for x in inputs))
            chunks.forward()
            for target, part in zip(grads, chunks.backward(grad[:, :, heads]), strict=True):
                chunks.join(part, target[:, :, heads])
    return grads[0], grads[1], grads[2], grads[3], grads[4]


@_rule_backward.register_fake
def _(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor) -> Any:
    return tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in (query, key, value, g, beta))


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> Any:
    return _rule_backward(grad, *ctx.saved_tensors)


_rule.register_autograd(_backward, setup_context=_keep)


def _slices(value: Tensor) -> Iterator[slice]:
    """Slices of heads, each as large as SLICE allows."""
    rows, length, heads, _ = value.shape
    parts = min(heads, max(1, -(-rows * length * heads // SLICE)))
    step = -(-heads // parts)
    yield from (slice(start, start + step) for start in range(0, heads, step))


@contextmanager
def _tf32(wanted: bool = True) -> Iterator[None]:
    """Compute float32 products in TF32 (10 bits of mantissa are enough for inputs with 7), or in full precision."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


class _Chunks:
    """One slice of heads, cut into chunks: tensors are `(chunks, rows x heads, CHUNK, channels)`, b = cumsum(g).

    With G_ij = exp(b_i - b_j) and T = (1 + A)^-1, where A = strictly lower triangle of beta_i (k_i k_j) G_ij::

        U = T (beta v)        W = T (beta e^b k)        M = e^b_last - K^T W        B = K^T U,  K = e^(b_last - b) k
        v' = U - W S          o = (e^b q) S + P v'      P = lower triangle of (q_i k_j) G_ij
    """

    def __init__(self, query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor) -> None:
        self.shape = value.shape[:3]
        self.dtype = torch.promote_types(value.dtype, torch.float32)
        self.scale = query.shape[-1] ** -0.5
        self.q, self.k, self.v = (self._cut(x) for x in (query, key, value))
        self.beta = self._cut(beta[..., None])
        self.b = self._cut(g[..., None]).cumsum(-2)

    def _cut(self, x: Tensor) -> Tensor:
        rows, length, heads, channels = x.shape
        full_chunks = length // CHUNK
        found = x.new_empty((-(-length // CHUNK), rows, heads, CHUNK, channels), dtype=self.dtype)
        as_given = found.permute(1, 0, 3, 2, 4)  # rows, chunks, CHUNK, heads, channels
        as_given[:, :full_chunks] = x[:, : full_chunks * CHUNK].unflatten(1, (full_chunks, CHUNK))
        if full_chunks < len(found):
            rest = length - full_chunks * CHUNK
            as_given[:, full_chunks, :rest], as_given[:, full_chunks, rest:] = x[:, full_chunks * CHUNK :], 0
        return found.flatten(1, 2)

    def join(self, x: Tensor, out: Tensor) -> None:
        """Join the chunks into `out`: `(rows, length, heads, channels)`, or without channels."""
        rows, length, heads = self.shape
        full_chunks = length // CHUNK
        x = x.view(-1, rows, heads, CHUNK, x.shape[-1]).permute(1, 0, 3, 2, 4)
        out = out if out.dim() == 4 else out[..., None]
        out[:, : full_chunks * CHUNK].unflatten(1, (full_chunks, CHUNK)).copy_(x[:, :full_chunks])
        if full_chunks * CHUNK < length:
            out[:, full_chunks * CHUNK :] = x[:, full_chunks, : length - full_chunks * CHUNK]

    def forward(self) -> Tensor:
        """Outputs in chunks; stores what the backward pass needs."""
        self.norm_q, self.norm_k, self.q, self.k, self.decay, self.end, self.gaps, self.similar, self.p = _products(
            self.q, self.k, self.b, self.scale
        )
        with _tf32(False):
            self.t = inverse((self.similar * self.beta).tril_(-1))
        self.u, self.w, self.qe, self.ke, self.m, self.s = _transform(
            self.t, self.q, self.k, self.v, self.beta, self.decay, self.end, self.gaps_end()
        )
        self.values, out = _read(self.u, self.w, self.s, self.qe, self.p)
        return out

    def gaps_end(self) -> Tensor:
        """exp(b_last - b)."""
        return (self.b[..., -1:, :] - self.b).exp()

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Gradients of query, key, value, g and beta, in chunks."""
        do = self._cut(grad)
        ds, dvalues = _state_gradient(do, self.qe, self.w, self.ke, self.p, self.m)
        found: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = _gradients(
            do, ds, dvalues, self.q, self.k, self.v, self.beta, self.decay, self.end, self.gaps_end(), self.gaps,
            self.similar, self.p, self.t, self.u, self.w, self.qe, self.ke, self.s, self.values, self.norm_q,
            self.norm_k, self.scale,
        )  # fmt: skip
        return found


def _add(total: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`total + left @ right`, in place: one pass over memory less than a product and a sum."""
    total.flatten(0, -3).baddbmm_(left.flatten(0, -3), right.flatten(0, -3))
    return total


def _products(q: Tensor, k: Tensor, b: Tensor, scale: float) -> tuple[Tensor, ...]:
    norm_q = torch.rsqrt(q.square().sum(-1, keepdim=True) + _EPSILON)
    norm_k = torch.rsqrt(k.square().sum(-1, keepdim=True) + _EPSILON)
    q, k = q * (norm_q * scale), k * norm_k
    # Above the diagonal the difference is positive and its exponential may be infinite.
    gaps = (b - b.transpose(-1, -2)).tril_().exp_().tril_()
    similar = (k @ k.transpose(-1, -2)).mul_(gaps)
    p = (q @ k.transpose(-1, -2)).mul_(gaps)
    return norm_q, norm_k, q, k, b.exp(), b[..., -1:, :].exp(), gaps, similar, p


def _transform(
    t: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor, end: Tensor, gaps_end: Tensor
) -> tuple[Tensor, ...]:
    """U, -W, e^b q, K, M and the state before each chunk, from zero."""
    across_beta = beta.transpose(-1, -2)  # T is half as large as k or v, so the factors are multiplied into T
    u = (t * across_beta) @ v
    w = (t * (across_beta * decay.transpose(-1, -2)).neg_()) @ k
    ke = k * gaps_end
    across = ke.transpose(-1, -2)
    m = across @ w
    m.diagonal(dim1=-2, dim2=-1).add_(end.squeeze(-1))
    s = m.new_empty((*m.shape[:-1], v.shape[-1]))
    s[0].zero_()
    torch.bmm(across[:-1].flatten(0, 1), u[:-1].flatten(0, 1), out=s[1:].flatten(0, 1))
    for n in range(1, len(s)):  # S_n = M_(n-1) S_(n-1) + B_(n-1)
        s[n].baddbmm_(m[n - 1], s[n - 1])
    return u, w, q * decay, ke, m, s


def _read(u: Tensor, w: Tensor, s: Tensor, qe: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    values = (w @ s).add_(u)
    return values, _add(qe @ s, p, values)


def _state_gradient(do: Tensor, qe: Tensor, w: Tensor, ke: Tensor, p: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the state after each chunk, which is zero for the last one, and of the values v'."""
    dvalues = p.transpose(-1, -2) @ do
    # found[n + 1] is the gradient of the state after chunk n
    found = qe.new_empty((len(qe) + 1, qe.shape[1], qe.shape[-1], do.shape[-1]))
    found[-1].zero_()
    local = found[:-1]
    torch.bmm(qe.transpose(-1, -2).flatten(0, 1), do.flatten(0, 1), out=local.flatten(0, 1))
    _add(local, w.transpose(-1, -2), dvalues)
    for n in range(len(local) - 1, 0, -1):
        found[n].baddbmm_(m[n].transpose(-1, -2), found[n + 1])
    ds = found[1:]
    return ds, _add(dvalues, ke, ds)


def _gradients(
    do: Tensor, ds: Tensor, dvalues: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor, end: Tensor,
    gaps_end: Tensor, gaps: Tensor, similar: Tensor, p: Tensor, t: Tensor, u: Tensor, w: Tensor, qe: Tensor,
    ke: Tensor, s: Tensor, values: Tensor, norm_q: Tensor, norm_k: Tensor, scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """The chain rule, from the outputs backwards; `ds` is the gradient of the state after each chunk, `w` is -W."""

    def total(x: Tensor) -> Tensor:
        return x.sum(-1, keepdim=True)

    dw = dvalues @ s.transpose(-1, -2)
    dqe = do @ s.transpose(-1, -2)
    dke = values @ ds.transpose(-1, -2)
    dp = (do @ values.transpose(-1, -2)).tril_()
    # U = T (beta v), -W = T (-beta e^b k), T = (1 + A)^-1
    dvb, dkb = t.transpose(-1, -2) @ dvalues, t.transpose(-1, -2) @ dw
    da = _add(dvb @ u.transpose(-1, -2), dkb, w.transpose(-1, -2)).tril_(-1).neg_()
    by_k, by_v = total(dkb * k) * decay, total(dvb * v)
    moved = da * similar
    dbeta = total(moved) + by_v - by_k
    moved.mul_(beta).addcmul_(dp, p)
    at_end = total(dke * ke)
    db = total(moved) - moved.sum(-2)[..., None] + total(dqe * qe) - at_end - by_k * beta
    db[..., -1:, :] += at_end.sum(-2, keepdim=True) + end * (s * ds).sum((-1, -2), keepdim=True)
    dg = db.flip(-2).cumsum(-2).flip(-2)
    pairs, inside = dp.mul_(gaps), da.mul_(gaps).mul_(beta)
    dq = _add(dqe.mul_(decay), pairs, k)
    dk = dke.mul_(gaps_end).addcmul_(dkb, beta * decay, value=-1)
    _add(_add(dk, pairs.transpose(-1, -2), q), inside + inside.transpose(-1, -2), k)
    # q = scale * x / |x|, k = x / |x|
    dq = (dq * scale).sub_(q * (total(dq * q) / scale)).mul_(norm_q)
    dk = (dk - k * total(dk * k)).mul_(norm_k)
    return dq, dk, dvb.mul_(beta), dg, dbeta


def inverse(a: Tensor) -> Tensor:
    """`(1 + A)^-1` for strictly lower triangular A, `(…, CHUNK, CHUNK)`; in one launch on a GPU with Triton."""
    if a.device.type == "cuda" and a.dtype == torch.float32 and importlib.util.find_spec("triton") is not None:
        from quant.training import delta_net_triton

        return delta_net_triton.inverse(a)
    return inverse_by_blocks(a)


def inverse_by_blocks(a: Tensor) -> Tensor:
    """`inverse` in any dtype, on any device.

    Blocks of 8 by (1 - A)(1 + A^2)(1 + A^4), which is exact. Then pairs of diagonal blocks B, D with C below are
    joined: the lower left part of the inverse is -D^-1 C B^-1.
    """
    size = 8
    shape = a.shape
    a = a.reshape(-1, CHUNK, CHUNK)
    blocks = torch.stack([a[:, i : i + size, i : i + size] for i in range(0, CHUNK, size)], 1).flatten(0, 1)
    one = torch.eye(size, dtype=a.dtype, device=a.device)
    square = blocks @ blocks
    inverse = (one - blocks) @ (one + square) @ (one + square @ square)
    while size < CHUNK:
        below = torch.stack([a[:, i + size : i + 2 * size, i : i + size] for i in range(0, CHUNK, 2 * size)], 1)
        upper, lower = inverse.view(-1, 2, size, size).unbind(1)
        joined = inverse.new_zeros((len(upper), 2 * size, 2 * size))
        joined[:, :size, :size], joined[:, size:, size:] = upper, lower
        joined[:, size:, :size] = -(lower @ below.flatten(0, 1) @ upper)
        inverse, size = joined, 2 * size
    return inverse.view(shape)


@dataclass(frozen=True)
class Choice:
    """Which implementation runs, "fla" or "chunks", and the reason in one line."""

    name: str
    why: str


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".")[:3] if part.isdigit())


def choose(device: str) -> Choice:
    """Choose an implementation that is correct on `device`: fla's Triton kernels, or the chunks of this module.

    On Hopper with Triton 3.4.0 to 3.7.0 the results of fla's backward pass are wrong (flash-linear-attention#640), and
    it refuses to run, unless tilelang is installed. Releases before 0.5 do not check this.
    """
    own = "chunks"
    if device != "cuda":
        return Choice(own, "fla needs a GPU")
    fla, triton = _version("fla-core") or _version("flash-linear-attention"), _version("triton")
    if fla is None or triton is None:
        return Choice(
            own, "fla is not installed; pip install flash-linear-attention is faster, with a suitable Triton"
        )
    card, major = torch.cuda.get_device_name(), torch.cuda.get_device_capability()[0]
    if _numbers(fla) < (0, 5):
        return Choice(own, f"fla {fla} is older than 0.5; pip install -U flash-linear-attention")
    if major == 9 and (3, 4) <= _numbers(triton) < (3, 7, 1) and _version("tilelang") is None:
        return Choice(
            own, f"fla {fla} has no correct backward pass on {card} with Triton {triton}; pip install 'triton>=3.7.1'"
        )
    try:
        importlib.import_module("fla.ops.gated_delta_rule")
    except Exception as error:  # importing a package can raise anything
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return Choice(own, f"fla {fla} cannot be imported ({first[:80]})")
    return Choice("fla", f"fla {fla}, Triton {triton}, {card}")


def _places(model: Any) -> list[tuple[Any, str]]:
    """Where transformers looks up its functions: in the module of the layer's class or, in older releases, in the
    layer.
    """
    found: dict[tuple[int, str], tuple[Any, str]] = {}
    for module in model.modules():
        for base in type(module).__mro__:
            if base.__name__.endswith("GatedDeltaNet"):
                namespace = sys.modules[base.__module__]
                for place, name in ((namespace, _RULE), (namespace, _CONVOLUTION), (module, _RULE_OF_A_LAYER)):
                    if callable(vars(place).get(name)):
                        found[id(place), name] = (place, name)
    return list(found.values())


def _rule_for(original: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the signature of transformers and fla; calls that pass or return a state go to the original."""

    def chunk_gated_delta_rule(
        query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        stateful = kwargs.get("initial_state") is not None or kwargs.get("output_final_state")
        if stateful or kwargs.get("cu_seqlens") is not None or not kwargs.get("use_qk_l2norm_in_kernel"):
            found: tuple[Tensor, Tensor | None] = original(query, key, value, g=g, beta=beta, **kwargs)
            return found
        return gated_delta_rule(query, key, value, g, beta), None

    return chunk_gated_delta_rule


def _convolution_for(original: Callable[..., Any]) -> Callable[..., Any]:
    """A short causal convolution as a sum of shifted inputs, which a compiler turns into one kernel launch."""

    def causal_conv1d_fn(
        hidden_states: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None, **kwargs: Any
    ) -> Tensor:
        if not torch.compiler.is_compiling() or activation not in (None, "silu"):
            found: Tensor = original(hidden_states, weight, bias, activation, **kwargs)
            return found
        width, length = weight.shape[-1], hidden_states.shape[-1]
        padded = torch.nn.functional.pad(hidden_states, (width - 1, 0)).float()
        out = sum(padded[..., i : i + length] * weight[:, i, None].float() for i in range(width))
        out = (out if bias is None else out + bias[:, None].float()).to(hidden_states.dtype)  # type: ignore[union-attr]
        return torch.nn.functional.silu(out) if activation else out

    return causal_conv1d_fn


@contextmanager
def used(model: Any, device: str) -> Iterator[Choice | None]:
    """Make a model's DeltaNet layers use the implementation of `choose`; yields None if it has no such layers."""
    places = _places(model)
    if not places:
        yield None
        return
    choice = choose(device)
    originals = [(place, name, getattr(place, name)) for place, name in places]
    try:
        if choice.name == "chunks":
            for place, name, original in originals:
                stand_in = _convolution_for if name == _CONVOLUTION else _rule_for
                setattr(place, name, stand_in(original))
        yield choice
    finally:
        for place, name, original in originals:
            setattr(place, name, original)
