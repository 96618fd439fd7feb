"""Lesson 10, generalisation: when to stop, images moved at random, dropout, batch norm."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinynet as tn
from tinynet.learn import close, draw, reference, require, slope
from tinynet.nn import functional as F
from tinynet.random import default_generator

PADDINGS = st.integers(0, 2)


# ---- when to stop
@reference("10.early_stopping")
def early_stopping(losses, patience):
    """(the epoch after which to stop, the best epoch so far)."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best >= patience:
            return epoch, best
    return len(losses) - 1, best


@early_stopping.property("a loss that falls and falls is not stopped", n=st.integers(1, 6), patience=st.integers(1, 3))
def _(mine, n, patience):
    close(mine([1.0 - 0.1 * k for k in range(n)], patience), (n - 1, n - 1), "If it is never stopped, the last epoch "
          "is the end. Epochs count from 0.")


@early_stopping.property("it stops `patience` epochs after the best", patience=st.integers(1, 4))
def _(mine, patience):
    close(mine([3.0, 1.0] + [2.0] * 6, patience), (1 + patience, 1), "Count how many epochs ago the best one was, not "
          "how often the loss rose.")


@early_stopping.property("a new best starts the count again")
def _(mine):
    close(mine([3.0, 4.0, 2.0, 3.0, 1.0, 5.0, 5.0], 2), (6, 4), "Whenever a loss is lower than the best so far, that "
          "epoch is the best, and patience begins anew.")


@early_stopping.property("what comes after the stop is not known", n=st.integers(2, 4))
def _(mine, n):
    close(mine([1.0] + [2.0] * n + [0.5], 2), (2, 0), "The best is the best so far: after the stop nothing "
          "is trained.")


early_stopping.agrees("it is right for any losses", hint="A loss that only equals the best is no improvement.",
                      losses=st.lists(draw.number(0, 2), min_size=1, max_size=8), patience=st.integers(1, 3))


# ---- images moved at random
@reference("10.augment")
def augment(x, padding, rng):
    """Each image shifted by up to `padding` pixels in each direction, and mirrored with probability a half."""
    h, w = x.shape[2:]
    wide = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out = np.empty_like(x)
    for k in range(len(x)):
        r, s = rng.integers(0, 2 * padding + 1, 2)
        piece = wide[k, :, r:r + h, s:s + w]
        out[k] = piece[:, :, ::-1] if rng.random() < 0.5 else piece
    return out


def some(seed: int, n: int) -> np.ndarray:
    """Images of 3 x 4 pixels, of two channels, no two pixels alike."""
    return np.random.default_rng(seed).permutation(n * 24).reshape(n, 2, 3, 4) + 1.0


def variants(image: np.ndarray, padding: int) -> list[np.ndarray]:
    """All that may become of an image: first those that are not mirrored."""
    (h, w), places = image.shape[1:], range(2 * padding + 1)
    wide = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    shifted = [wide[:, r:r + h, s:s + w] for r in places for s in places]
    return shifted + [one[:, :, ::-1] for one in shifted]


def which(mine: Any, seed: int, n: int, padding: int) -> list[int]:
    """What became of each of n images, as the number of the variant."""
    x = some(seed, n)
    got = np.asarray(mine(x, padding, np.random.default_rng(seed)))
    require(got.shape == x.shape, f"the shape should stay {x.shape}, not become {got.shape}")
    found = []
    for image, result in zip(x, got, strict=True):
        same = [k for k, one in enumerate(variants(image, padding)) if np.array_equal(one, result)]
        require(same, "an image is not a shifted and perhaps mirrored version of what it was", "Cut height × width "
                "pixels out of the padded image. To mirror is to turn the columns around: the last axis, in all "
                "channels.", expected=f"for example {variants(image, padding)[-1].tolist()}", got=result.tolist())
        found.append(same[0])
    return found


@augment.property("each image is shifted, and perhaps mirrored", examples=8, seed=draw.seed(), padding=PADDINGS)
def _(mine, seed, padding):
    which(mine, seed, 5, padding)


@augment.property("each image is treated in its own way", examples=3, seed=draw.seed())
def _(mine, seed):
    found = which(mine, seed, 400, 1)
    require(len(set(found)) > 2, "all images of the batch were moved alike", "Draw for each image by itself.")
    mirrored = np.mean([k >= 9 for k in found])
    require(0.3 < mirrored < 0.7, f"{mirrored:.0%} of the images were mirrored, but it should be about half")
    count = len({k % 9 for k in found})
    require(count == 9, f"with padding 1 an image can lie in 9 places, but only {count} came", "From 0 to 2 · padding, "
            "both included, along each axis: rng.integers(0, high) leaves out high.")


@augment.property("it draws from rng", examples=3, seed=draw.seed())
def _(mine, seed):
    x = some(seed, 6)
    first, again = (mine(x, 2, np.random.default_rng(seed)) for _ in range(2))
    close(again, first, "The same seed must give the same images, or no training could be repeated: use rng.random and "
          "rng.integers, not np.random.")


# ---- dropout
def of_dropout_mask(mine: Callable[..., Any]) -> list[Any]:
    """What nn.Dropout calls."""
    kept = F.dropout

    def dropout(input, p=0.5, training=True, inplace=False):
        if not training or not 0 < p < 1 or inplace:
            return kept(input, p, training, inplace)
        return input * tn.tensor(mine(input.shape, p, default_generator.rng)).to(input.dtype)
    return [(F, "dropout", dropout)]


@reference("10.dropout_mask", engine=of_dropout_mask)
def dropout_mask(shape, p, rng):
    """0 with probability p, else 1 / (1 - p)."""
    return (rng.random(shape) >= p) / (1 - p)


@dropout_mask.property("what stays is made larger, so that the sum stays what it was", seed=draw.seed(),
                       p=st.sampled_from([0.2, 0.5, 0.75]))
def _(mine, seed, p):
    mask = np.asarray(mine((50, 40), p, np.random.default_rng(seed)), float)
    close(mask.shape, (50, 40), what="the shape is wrong")
    values = np.unique(mask[mask != 0])
    close(values, np.array([1 / (1 - p)]), f"Only a share {1 - p:g} of the elements stays. By what must they be "
          "multiplied, so that on average nothing changes?", what="the entries that are not 0 are wrong")


@dropout_mask.property("each element is dropped or not by itself", examples=5, seed=draw.seed())
def _(mine, seed):
    zero = np.asarray(mine((20, 20), 0.5, np.random.default_rng(seed))) == 0
    require(len({tuple(row) for row in zero}) > 10 and len({tuple(row) for row in zero.T}) > 10,
            "whole rows or columns have the same mask", "Draw a number for every element: rng.random(shape).")


@dropout_mask.property("a share p is dropped", seed=draw.seed(), p=st.sampled_from([0.1, 0.25, 0.8]))
def _(mine, seed, p):
    share = float(np.mean(np.asarray(mine((60, 50), p, np.random.default_rng(seed))) == 0))
    require(abs(share - p) < 0.06, f"with p = {p}, {share:.0%} of the elements are 0", "p is the probability to be "
            "dropped, not to stay.")


@dropout_mask.property("it draws from rng", examples=3, seed=draw.seed())
def _(mine, seed):
    first, again = (mine((9, 9), 0.5, np.random.default_rng(seed)) for _ in range(2))
    close(again, first, "The same seed must give the same mask: use rng, not np.random.")


# ---- batch norm
def of_batch_norm(mine: Callable[..., Any]) -> list[Any]:
    """What nn.BatchNorm2d calls; the engine's own moves the running moments on."""
    kept = F.batch_norm

    def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        if input.ndim != 4 or weight is None or bias is None or eps != 1e-5:
            return kept(input, running_mean, running_var, weight, bias, training, momentum, eps)
        if training:
            with tn.no_grad():
                kept(input, running_mean, running_var, weight, bias, True, momentum, eps)
        return mine(input, weight, bias, running_mean, running_var, training)
    return [(F, "batch_norm", batch_norm)]


@reference("10.batch_norm", tensors=True, engine=of_batch_norm)
def batch_norm(x, weight, bias, mean, var, training):
    """Each channel of x (N, C, H, W) with mean 0 and variance 1, times weight, plus bias."""
    mean, var, weight, bias = (t.reshape(1, -1, 1, 1) for t in (mean, var, weight, bias))
    if training:
        mean = x.mean((0, 2, 3), keepdim=True)
        var = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def drawn(seed: int, n: int = 3, c: int = 2) -> list[Any]:
    """x, weight, bias, mean, var, in float64."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, c, 2, 3)) * 2 + rng.normal(size=(1, c, 1, 1)) * 3
    return [tn.tensor(a) for a in (x, rng.uniform(0.5, 2, c), rng.normal(size=c), rng.normal(size=c),
                                   rng.uniform(0.5, 2, c))]


@batch_norm.property("in training the mean of each channel becomes its bias", seed=draw.seed())
def _(mine, seed):
    x, weight, bias, mean, var = drawn(seed)
    got = mine(x, weight, bias, mean, var, True)
    require(getattr(got, "shape", None) == x.shape, f"the shape should be {x.shape}, not {getattr(got, 'shape', None)}",
            "Numbers for each channel, of shape (C,), fit x only as (1, C, 1, 1): reshape them, or keepdim=True.")
    close(got.mean((0, 2, 3)), bias, "Each channel has a mean of its own, over images, rows and columns together: the "
          "axes 0, 2 and 3.")


@batch_norm.property("in training the variance of each channel becomes weight²", seed=draw.seed())
def _(mine, seed):
    x, weight, bias, mean, var = drawn(seed)
    got = mine(x, weight, bias, mean, var, True)
    middle = got - got.mean((0, 2, 3), keepdim=True)
    close((middle**2).mean((0, 2, 3)), weight**2, "Divide by the square root of the variance: the mean of the squared "
          "distances from the mean. (x.var() divides by the number of values less one.)", rtol=1e-3)


@batch_norm.property("in use it takes the mean and the variance that are given, and no others", seed=draw.seed(),
                     n=st.integers(1, 3))
def _(mine, seed, n):
    args = drawn(seed, n)
    close(mine(*args, False), batch_norm(*args, False), "With training=False an image's result must not depend on the "
          "other images of its batch. And 1e-5 is added to the variance, before the root.")


@batch_norm.property("a measured slope agrees", examples=3, seed=draw.seed())
def _(mine, seed):
    x, weight, bias, mean, var = drawn(seed, 2)
    slope(lambda x, weight, bias: mine(x, weight, bias, mean, var, True), [x, weight, bias],
          "A pixel moves the mean and the variance of its channel, too: compute them with tensors, without detach or "
          "no_grad.")
