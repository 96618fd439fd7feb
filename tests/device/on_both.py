"""A call of a primitive on the CPU and on a GPU: values, gradients, and their gradients."""

from __future__ import annotations

import numpy as np

import tinynet as tn
from tinynet.drawing import Drawer
from tinynet.ops._primitive import PRIMITIVES
from tinynet.proofs import PROOFS, VALUES, differentiate

DRAWS = 3
TOLERANCE = 1e-10  # for float64; a GPU adds up in another order


def drawn(name, seed):
    """The seed-th call of the op that the proofs draw."""
    draw = VALUES[name][0] if name in VALUES else PROOFS[name]
    return draw(Drawer(sum(map(ord, name)) + 1000 * seed))


def moved(x, device):
    """Arrays in it on the device: of tuples, as an index is, too."""
    if isinstance(x, tuple):
        return tuple(moved(part, device) for part in x)
    return tn.tensor(x, device=device).array if isinstance(x, np.ndarray) else x


def outcome(name, call, device):
    """The values of the op, the first gradients by two routes and the second ones, as NumPy's arrays."""
    op = PRIMITIVES[name]
    options = {what: moved(value, device) for what, value in call.options.items()}
    if name == "to_device":
        options["back"] = tn.zeros(0, device=device).device
    args = tuple(tn.tensor(a, device=device) if isinstance(a, np.ndarray) else a for a in call.args)
    if name in VALUES:
        return values(op(*args, **options))
    f, tensors = differentiate(op, call._replace(args=args, options=options))
    tensors = [t.detach().requires_grad_() for t in tensors]
    out = f(*tensors)
    out = tuple(o for o in (out if isinstance(out, tuple) else (out,)) if isinstance(o, tn.Tensor))  # not hidden ones
    outs = [o for o in out if o.requires_grad]
    rng = np.random.default_rng(0)
    seeds = [tn.tensor(rng.standard_normal(o.shape), device=o.device) for o in outs]
    plain = tn.autograd.grad(outs, tensors, seeds, retain_graph=True, allow_unused=True)
    tracked = tn.autograd.grad(outs, tensors, seeds, create_graph=True, allow_unused=True)
    again = [g for g in tracked if g is not None and g.requires_grad]
    second = ()
    if again:
        seeds = [tn.tensor(rng.standard_normal(g.shape), device=g.device) for g in again]
        second = tn.autograd.grad(again, tensors, seeds, allow_unused=True)
    for group in (plain, tracked, second):
        assert all(g is None or g.device == t.device for g, t in zip(group, tensors, strict=False))
    return values(out) + values(plain) + values(tracked) + values(second)


def values(found):
    """Tensors as NumPy's arrays."""
    return [None if t is None else t.detach().cpu().numpy() for t in (found if isinstance(found, tuple) else (found,))]


def differences(here, there, tolerance=TOLERANCE):
    """What is not the same, in words; "" if all is."""
    wrong = [f"{len(here)} and {len(there)} results"] if len(here) != len(there) else []
    for k, (a, b) in enumerate(zip(here, there, strict=False)):
        if (a is None) != (b is None):
            wrong.append(f"{k}: {a} and {b}")
        elif a is not None and (a.shape != b.shape or a.dtype != b.dtype):
            wrong.append(f"{k}: {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}")
        elif a is not None and not np.allclose(a, b, tolerance, tolerance, equal_nan=True):
            wrong.append(f"{k}: {a} and {b}")
    return "\n".join(wrong)
