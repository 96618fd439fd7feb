"""Smaller networks: weights taken out, weights in eight bits, and a small network that learns from a large one."""
from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tinynet.autograd.modes import no_grad
from tinynet.autograd.variable import raw
from tinynet.device import backend, host
from tinynet.dtypes import float64, int8
from tinynet.nn import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Linear, Module
from tinynet.nn import functional as F
from tinynet.nn.utils import prune
from tinynet.ops import clamp, tensor, where
from tinynet.ops import round as round_
from tinynet.tensor import Tensor

__all__ = ["QuantizedConv", "QuantizedLinear", "distillation_loss", "prune_magnitude", "quantize", "size_in_bytes",
           "sparsity"]

WEIGHTED = (Linear, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d)
LEVELS = 127  # of a weight on either side of 0
LOW, HIGH = -128, 127  # of an activation


def size_in_bytes(model: Module) -> int:
    """The bytes of the model's state_dict; what is there under several names counts once.

    >>> tn.compress.size_in_bytes(tn.nn.Linear(100, 10))
    4040
    """
    return sum(a.nbytes for a in {id(raw(t)): raw(t) for t in model.state_dict().values()}.values())


# ---- pruning
def prune_magnitude(model: Module, amount: float) -> Module:
    """Set the `amount` (a share, or a number) of the model's weights that are least in magnitude to 0, and keep them
    there through any training that follows. Returns the model.

    The weights of all linear and convolution layers compete with one another, biases stay; those already pruned do not
    count. It is nn.utils.prune's mask in each layer: nn.utils.prune.remove(layer, "weight") makes it permanent.
    ValueError for an amount out of range, or a model without such layers. Han et al., 2015.

    >>> model = tn.compress.prune_magnitude(tn.nn.Sequential(tn.nn.Linear(8, 4), tn.nn.Linear(4, 1)), 0.5)
    >>> tn.compress.sparsity(model)
    0.5
    """
    layers = list(_weighted("prune_magnitude", model))
    known = [getattr(layer, "weight_mask", None) for layer in layers]
    left = [host(abs(raw(layer.weight).reshape(-1) if mask is None else raw(layer.weight_orig)[raw(mask) == 1]))
            for layer, mask in zip(layers, known, strict=True)]
    total = sum(a.size for a in left)
    whole = isinstance(amount, int) and not isinstance(amount, bool)
    if not isinstance(amount, (int, float)) or not 0 <= amount <= (total if whole else 1):
        raise ValueError(f"prune_magnitude(): amount must be a share in [0, 1], or a number of at most {total} "
                         f"weights, got {amount!r}")
    order = np.argsort(np.concatenate(left), kind="stable")[:amount if whole else round(amount * total)]
    counts = np.histogram(order, np.cumsum([0, *(a.size for a in left)]))[0]
    for layer, count in zip(layers, counts, strict=True):
        prune.l1_unstructured(layer, "weight", int(count))
    return model


def sparsity(model: Module) -> float:
    """The share of zeros among the weights of the model's linear and convolution layers.

    >>> tn.compress.sparsity(tn.nn.Linear(8, 4))
    0.0
    """
    weights = [_weight(layer) for layer in _weighted("sparsity", model)]
    return float(sum(int((w == 0).sum()) for w in weights) / sum(w.size for w in weights))


def _weight(layer: Any) -> Any:
    """The weight as the layer uses it."""
    mask = getattr(layer, "weight_mask", None)
    return raw(layer.weight) if mask is None else raw(layer.weight_orig) * raw(mask)


def _weighted(what: str, model: Module) -> Iterator[Any]:
    """The layers with weights, each once."""
    if not isinstance(model, Module):
        raise TypeError(f"{what}(): argument 'model' must be a tn.nn.Module, not {type(model).__name__}")
    layers = [m for m in model.modules() if isinstance(m, WEIGHTED)]
    if not layers:
        raise ValueError(f"{what}(): the model has no linear or convolution layer")
    yield from layers


# ---- eight bits
class _Quantized(Module):
    """y = (s_x s_w) Σ (q_x - z) q_w + b: all under the sum are whole numbers. q_w is int8 with a scale s_w for each
    output, so that its largest is 127; q_x = round(x / s_x) + z, in [-128, 127]."""

    weight: Tensor
    weight_scale: Tensor
    bias: Tensor | None
    input_range: Tensor | None

    def __init__(self, layer: Any, input_range: tuple[float, float] | None = None) -> None:
        super().__init__()
        weight = layer.weight.detach()
        peak = weight.abs().flatten(1).amax(1)
        if not peak.isfinite().all():
            raise ValueError(f"quantize(): the weight of {layer} is not finite")
        self.register_buffer("weight_scale", where(peak > 0, peak / LEVELS, 1.0))
        scaled = weight / self.weight_scale.reshape((-1, *[1] * (weight.ndim - 1)))
        self.register_buffer("weight", clamp(round_(scaled), -LEVELS, LEVELS).to(int8))
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())
        known = None if input_range is None else tensor(input_range, dtype=weight.dtype, device=weight.device)
        self.register_buffer("input_range", known)
        self.requires = layer.extra_repr()

    @no_grad()
    def forward(self, input: Tensor) -> Tensor:
        """The layer's result. The whole numbers are multiplied as float64, which holds every sum of them exactly."""
        scale, zero = self.input_step(input)
        q = clamp(round_(input / scale) + zero, LOW, HIGH)
        total = self._product((q - zero).to(float64), self.weight.to(float64))
        axes = (-1, *[1] * (self.weight.ndim - 2))
        out = total.to(input.dtype) * (self.weight_scale * scale).reshape(axes)
        return out if self.bias is None else out + self.bias.reshape(axes)

    def input_step(self, input: Tensor) -> tuple[float, float]:
        """s_x and z: of the range seen in calibration, or of this input's; 0 is always in it, and met exactly."""
        x = raw(input if self.input_range is None else self.input_range)
        low, high = (float(end) for end in host(backend(x).stack([x.min(), x.max()]))) if x.size else (0.0, 0.0)
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / (HIGH - LOW) or 1.0
        return scale, LOW - round(low / scale)

    def _product(self, q: Tensor, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The sizes of the layer, and whether the range of its input is known."""
        return f"{self.requires}, {'dynamic' if self.input_range is None else 'calibrated'}"


class QuantizedLinear(_Quantized):
    """A Linear in whole numbers; `tn.compress.quantize` makes them. It cannot be trained.

    >>> layer = tn.compress.QuantizedLinear(tn.nn.Linear(4, 2)); layer.weight.dtype
    dtype('int8')
    """

    def _product(self, q: Tensor, weight: Tensor) -> Tensor:
        return F.linear(q, weight)


class QuantizedConv(_Quantized):
    """A Conv1d or Conv2d in whole numbers; `tn.compress.quantize` makes them. It cannot be trained.

    >>> tn.compress.QuantizedConv(tn.nn.Conv2d(1, 2, 3))
    QuantizedConv(1, 2, kernel_size=(3, 3), stride=(1, 1), dynamic)
    """

    def __init__(self, layer: Any, input_range: tuple[float, float] | None = None) -> None:
        super().__init__(layer, input_range)
        self.sizes = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups")}

    def _product(self, q: Tensor, weight: Tensor) -> Tensor:
        return (F.conv1d if weight.ndim == 3 else F.conv2d)(q, weight, **self.sizes)


KINDS: dict[type[Module], type[_Quantized]] = {Linear: QuantizedLinear, Conv1d: QuantizedConv, Conv2d: QuantizedConv}


def quantize(model: Module, calibration: Any = None) -> Module:
    """A copy of the model, in eval mode, whose Linear, Conv1d and Conv2d layers compute in whole numbers of eight bits:
    a fourth of the size. The model itself stays as it is.

    Weights are rounded to 255 levels for each output. The range of each layer's input is met in `calibration`, a tensor
    of samples or an iterable of batches (of pairs, the first counts); without it, in every batch anew. Pruned weights
    stay 0; layers with another padding_mode than "zeros", and layers of other kinds, are copied. Measure the accuracy
    before and after: tn.metrics.accuracy(y, model(x).argmax(1)). ValueError for a model without such layers, for
    weights that are not finite, and for a layer that calibration never calls. Jacob et al., 2018; Nagel et al., 2021.

    >>> model = tn.nn.Sequential(tn.nn.Linear(64, 32), tn.nn.ReLU(), tn.nn.Linear(32, 10))
    >>> small = tn.compress.quantize(model, tn.rand(100, 64))
    >>> tn.compress.size_in_bytes(model), tn.compress.size_in_bytes(small)
    (9640, 2720)
    """
    if not isinstance(model, Module):
        raise TypeError(f"quantize(): argument 'model' must be a tn.nn.Module, not {type(model).__name__}")
    pruned = [m for m in model.modules() if hasattr(m, "weight_mask")]
    model = copy.deepcopy(model, {id(m.weight): m.weight.detach() for m in pruned}).eval()  # which were computed
    for layer in model.modules():
        if hasattr(layer, "weight_mask"):
            prune.remove(layer, "weight")
    layers = {m: path for path, m in model.named_modules()
              if type(m) in KINDS and getattr(m, "padding_mode", "zeros") == "zeros"}
    if not layers:
        raise ValueError("quantize(): the model has no Linear, Conv1d or Conv2d layer")
    ranges = _ranges(model, layers, calibration)
    made: dict[Module, Module] = {layer: KINDS[type(layer)](layer, ranges.get(layer)) for layer in layers}
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child in made:
                parent._modules[name] = made[child]
    return made.get(model, model).eval()


def _ranges(model: Module, layers: dict[Module, str], calibration: Any) -> dict[Module, tuple[float, float]]:
    """The least and the greatest number that each layer is given."""
    ranges: dict[Module, tuple[float, float]] = {}
    if calibration is None:
        return ranges

    def see(module: Module, args: Any) -> None:
        low, high = ranges.get(module, (math.inf, -math.inf))
        x = raw(args[0])
        ranges[module] = min(low, float(x.min())), max(high, float(x.max()))

    batches: Iterable[Any] = [calibration] if isinstance(calibration, Tensor) else calibration
    handles = [layer.register_forward_pre_hook(see) for layer in layers]
    try:
        with no_grad():
            for batch in batches:
                model(batch[0] if isinstance(batch, (tuple, list)) else batch)
    finally:
        for handle in handles:
            handle.remove()
    unseen = [path or type(m).__name__ for m, path in layers.items() if m not in ranges]
    if unseen:
        raise ValueError(f"quantize(): calibration never called {', '.join(unseen)}: give it batches, or leave it out")
    return ranges


# ---- distillation
def distillation_loss(student_logits: Tensor, teacher_logits: Tensor, target: Tensor, temperature: float = 4.0,
                      alpha: float = 0.9) -> Tensor:
    """α T² KL(softmax(t / T) ‖ softmax(s / T)) + (1 - α) cross_entropy(s, target), for the scores s of the student and
    t of the teacher, (N, C) or (N, C, …): the mean over all samples.

    A high temperature T shows the student what the teacher holds possible besides; T² makes up for the gradients
    becoming smaller. No gradient goes to the teacher. RuntimeError for different shapes, ValueError for T ≤ 0 or α
    outside [0, 1]. Hinton, Vinyals & Dean, 2015.

    >>> s = tn.tensor([[1.0, 0.0]])
    >>> tn.compress.distillation_loss(s, -s, tn.tensor([0]))
    tensor(0.4790)
    """
    if student_logits.shape != teacher_logits.shape or student_logits.ndim < 2:
        raise RuntimeError(f"distillation_loss(): student and teacher must give scores of one shape (N, C, …), got "
                           f"{list(student_logits.shape)} and {list(teacher_logits.shape)}")
    if not 0 < temperature < math.inf:
        raise ValueError(f"distillation_loss(): temperature must be positive and finite, got {temperature}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"distillation_loss(): alpha must be in [0, 1], got {alpha}")
    s, t = (F.log_softmax(x / temperature, dim=1) for x in (student_logits, teacher_logits.detach()))
    soft = F.kl_div(s, t, reduction="none", log_target=True).sum(1).mean()
    return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student_logits, target)
