"""Lesson 5, house prices: the loss, features in like units without a leak, and the training loop."""
from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinynet as tn
from tinynet.learn import close, draw, reference, require, slope
from tinynet.learn.answers import NotDone
from tinynet.learn.compare import values


@reference("05.mse", tensors=True)
def mse(predicted, true):
    """The mean of (predicted - true)²."""
    if predicted.shape != true.shape:
        raise ValueError(f"shapes {predicted.shape} and {true.shape}")
    return (predicted - true).square().mean()


@mse.property("wrong by 1 and by 3: the squares are 1 and 9, their mean is 5",
              predicted=st.just(np.array([[1.0], [3.0]])), true=st.just(np.zeros((2, 1))))
def _(mine, predicted, true):
    close(mine(predicted, true), 5.0, "Square each difference, then take the mean: one number.")


mse.agrees("it is the mean of the squares", predicted="n 1", true="n 1", hint="Divide by the number of predictions, n.")


@mse.property("backward finds the slope of each prediction", examples=6, predicted="n 1", true="n 1")
def _(mine, predicted, true):
    slope(mine, [predicted, true], "Compute with the tensors themselves: item(), detach() and numpy() cut the graph.")


@mse.property("a column and a row are refused", predicted="3 1", true="3")
def _(mine, predicted, true):
    try:
        got = mine(predicted, true)
    except ValueError:
        return
    except NotDone:
        got = None
    require(False, "shapes (3, 1) and (3,) were taken, and broadcast to (3, 3)", "Compare predicted.shape with "
            "true.shape, and raise ValueError(...) if they differ.", got=got)


# ---- the loop
def sample(seed: int, n: int = 40, k: int = 3) -> tuple[Any, Any]:
    """Standardised features, and prices that a straight line predicts but for some noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, k))
    x = (x - x.mean(0)) / x.std(0)
    y = x @ rng.uniform(1, 5, (k, 1)) + 7 + 0.5 * rng.normal(size=(n, 1))
    return tn.tensor(x, dtype=tn.float32), tn.tensor(y, dtype=tn.float32)


@reference("05.fit")
def fit(x, y, lr, steps):
    """Steps w ← w - lr dL/dw and b ← b - lr dL/db, from 0, for L = mean (x w + b - y)²."""
    w, b = tn.zeros(x.shape[1], 1), tn.zeros(1)
    for _ in range(steps):
        error = 2 / len(x) * (x @ w + b - y)
        w, b = w - lr * (x.T @ error), b - lr * error.sum()
    return w, b


def fitted(mine: Any, *args: Any) -> tuple[Any, Any]:
    """The w and b of an answer."""
    got = mine(*args)
    require(isinstance(got, tuple | list) and len(got) == 2, "a pair is expected: w and b")
    k = args[0].shape[1]
    for one, name, shape in zip(got, "wb", ((k, 1), (1,)), strict=True):
        require(np.shape(values(one)) == shape, f"{name} should have shape {shape}, not {np.shape(values(one))}")
    return values(got[0]), values(got[1])


@fit.property("one step is lr times the slope, downhill", seed=draw.seed(), lr=st.sampled_from([0.1, 0.01]))
def _(mine, seed, lr):
    x, y = sample(seed)
    w, b = fitted(mine, x, y, lr, 1)
    want_w, want_b = fit(x, y, lr, 1)
    hint = "loss = mse(x @ w + b, y); after loss.backward() the slopes are in w.grad and b.grad. Subtract."
    close(w, want_w, hint, what="w is wrong after one step", rtol=1e-4)
    close(b, want_b, hint, what="b is wrong after one step", rtol=1e-4)


@fit.property("every step uses the slopes of its own point", seed=draw.seed(), steps=st.integers(2, 4))
def _(mine, seed, steps):
    x, y = sample(seed)
    close(fitted(mine, x, y, 0.1, steps), tuple(map(values, fit(x, y, 0.1, steps))),
          "backward() adds to what is in .grad: forget the old gradients in every step.", rtol=1e-4)


@fit.property("after 200 steps the error is within 2% of the least there is", examples=5, seed=draw.seed())
def _(mine, seed):
    near_the_best(mine, *sample(seed))


@fit.property("so it is for the houses of Windsor")
def _(mine):
    x, y = tn.data.datasets.housing().tensors
    near_the_best(mine, (x - x.mean(axis=0)) / x.std(axis=0), y / 1000)


def near_the_best(mine: Any, x: Any, y: Any) -> None:
    """The RMSE of the answer is within 2% of that of least squares."""
    w, b = fitted(mine, x, y, 0.1, 200)
    x, y = x.numpy(), y.numpy()
    extended = np.hstack([x, np.ones((len(x), 1))])
    best, got = (np.sqrt(np.mean((p - y) ** 2)) for p in (extended @ np.linalg.lstsq(extended, y, rcond=None)[0],
                                                         x @ w + b))
    require(got <= 1.02 * best, "the error is larger than it need be", "Are all the steps made, and do both w and b "
            "move?", expected=f"an RMSE of at most {1.02 * best:.4g}", got=float(got))


# ---- like units
@st.composite
def tables(pick: Any) -> Any:
    """Some rows of three columns of very different sizes."""
    rng = np.random.default_rng(pick(draw.seed()))
    return rng.integers(-9, 10, (pick(st.integers(5, 8)), 3)) * [1000.0, 1.0, 0.25] + [5000.0, 3.0, 0.0] \
        + rng.uniform(size=3)


@reference("05.standardise", tensors=True)
def standardise(train, test):
    """(train - mean) / std and (test - mean) / std, by the mean and std of train's columns."""
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = tn.where(std == 0, 1.0, std)
    return (train - mean) / std, (test - mean) / std


def both(mine: Any, train: Any, test: Any) -> tuple[Any, Any]:
    """The two arrays that an answer gives."""
    got = mine(train, test)
    require(isinstance(got, tuple | list) and len(got) == 2, "a pair is expected: train and test, standardised")
    for one, given, name in zip(got, (train, test), ("train", "test"), strict=True):
        require(np.shape(values(one)) == tuple(given.shape), f"{name} has shape {tuple(given.shape)}, what came of it "
                f"{np.shape(values(one))}")
    return values(got[0]), values(got[1])


@standardise.property("each column of train has mean 0 and standard deviation 1", train=tables(), test=tables())
def _(mine, train, test):
    got, _ = both(mine, train, test)
    close(got.mean(0), np.zeros(3), "Subtract from each column its own mean: axis 0 counts the houses.", atol=1e-6)
    spread = [got.std(0, ddof=k) for k in (0, 1)]  # both are in use: divided by n, or by n - 1
    require(any(np.allclose(s, 1, rtol=1e-4) for s in spread), "the standard deviation of a column of train is not 1",
            "Divide each column by its own standard deviation.", got=spread[0])


@standardise.property("a house is treated alike, be it in train or in test", train=tables())
def _(mine, train):
    got, same = both(mine, train, train[:2])
    close(same, got[:2], "The mean and the standard deviation of train go for both.")


@standardise.property("what comes of train does not depend on test", train=tables(), test=tables(), other=tables())
def _(mine, train, test, other):
    close(both(mine, train, test)[0], both(mine, train, other)[0], "A leak: the mean, or the standard deviation, was "
          "taken of test as well.")


@standardise.property("a column that is the same everywhere becomes 0", value=draw.number())
def _(mine, value):
    train = tn.tensor([[value, 1.0], [value, 2.0], [value, 3.0]], dtype=tn.float64)
    close(both(mine, train, train)[0][:, 0], np.zeros(3), "Its standard deviation is 0: divide by 1 there, with "
          "tn.where(std == 0, 1.0, std).")
