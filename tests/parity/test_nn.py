"""tinynet.nn beside torch.nn: the same arguments give the same text, the same names, the same numbers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")

SIZES = st.integers(1, 3)
SEEDS = st.integers(0, 2**32 - 1)


def numbers(rng, *shape):
    return rng.standard_normal(shape)


def copied(theirs):
    """The values of a torch state_dict as tinynet tensors."""
    return {name: tn.tensor(t.numpy().copy()) for name, t in theirs.items()}


def close(ours, theirs, what):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-10, atol=1e-12, err_msg=what)


def agree(ours, theirs, rng, *inputs):
    """Two modules in float64: the same text, state, result and gradients."""
    assert repr(ours) == repr(theirs)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    ours, theirs = ours.double(), theirs.double()
    assert ours.load_state_dict(copied(theirs.state_dict())) == ([], [])
    pairs = []
    for a in inputs:
        x, y = tn.tensor(a), torch.tensor(a)
        if a.dtype.kind == "f":
            x.requires_grad_()
            y.requires_grad_()
        pairs.append((x, y))
    out, expected = ours(*(x for x, _ in pairs)), theirs(*(y for _, y in pairs))
    if isinstance(expected, tuple):  # pooling with indices
        close(out[1], expected[1], "indices")
        out, expected = out[0], expected[0]
    assert out.shape == tuple(expected.shape)
    close(out, expected, "result")
    g = numbers(rng, *out.shape)
    out.backward(tn.tensor(g))
    expected.backward(torch.tensor(g))
    for x, y in pairs:
        if y.requires_grad:
            close(x.grad, y.grad, "gradient of the input")
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad, f"gradient of {name}")


@given(SEEDS, SIZES, SIZES, st.booleans(), st.lists(SIZES, max_size=3))
def test_linear(seed, into, out, bias, lead):
    rng = np.random.default_rng(seed)
    agree(tn.nn.Linear(into, out, bias), torch.nn.Linear(into, out, bias), rng, numbers(rng, *lead, into))


def sizes_2d(low, high):
    size = st.integers(low, high)
    return st.one_of(size, st.tuples(size, size))


def both(value):
    return value if isinstance(value, tuple) else (value, value)


@given(
    SEEDS,
    st.tuples(SIZES, SIZES, SIZES),
    sizes_2d(1, 3),
    sizes_2d(1, 2),
    st.one_of(sizes_2d(0, 2), st.sampled_from(["same", "valid"])),
    sizes_2d(1, 2),
    st.booleans(),
    st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]),
    st.booleans(),
)
def test_conv2d(seed, channels, kernel, stride, padding, dilation, bias, mode, batched):
    groups, into, out = channels
    if padding == "same":
        stride = 1
    rng = np.random.default_rng(seed)
    size = [max(4, d * (k - 1) + 1) for d, k in zip(both(dilation), both(kernel), strict=True)]
    args = (into * groups, out * groups, kernel, stride, padding, dilation, groups, bias, mode)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel", UserWarning)
        x = numbers(rng, *[2] * batched, into * groups, *size)
        agree(tn.nn.Conv2d(*args), torch.nn.Conv2d(*args), rng, x)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("kernel", [2, (4, 3)])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_conv2d_same_with_even_kernels(mode, kernel):
    """An odd number of rows to add: the one more goes below."""
    rng = np.random.default_rng(0)
    options = {"padding": "same", "dilation": (1, 2), "padding_mode": mode}
    layers = (nn.Conv2d(1, 2, kernel, **options) for nn in (tn.nn, torch.nn))
    agree(*layers, rng, numbers(rng, 2, 1, 6, 7))


@given(SEEDS, sizes_2d(1, 3), st.one_of(st.none(), sizes_2d(1, 3)), sizes_2d(1, 2), st.data())
def test_max_pool2d(seed, kernel, stride, dilation, data):
    rng = np.random.default_rng(seed)
    padding = data.draw(st.tuples(*(st.integers(0, k // 2) for k in both(kernel))))
    options = {"return_indices": data.draw(st.booleans()), "ceil_mode": data.draw(st.booleans())}
    x = numbers(rng, *[2] * data.draw(st.booleans()), 2, 6, 5)
    args = (kernel, stride, padding, dilation)
    agree(tn.nn.MaxPool2d(*args, **options), torch.nn.MaxPool2d(*args, **options), rng, x)


@given(SEEDS, sizes_2d(1, 3), st.one_of(st.none(), sizes_2d(1, 3)), st.data())
def test_avg_pool2d(seed, kernel, stride, data):
    rng = np.random.default_rng(seed)
    padding = data.draw(st.tuples(*(st.integers(0, k // 2) for k in both(kernel))))
    args = (kernel, stride, padding, data.draw(st.booleans()), data.draw(st.booleans()))
    args += (data.draw(st.sampled_from([None, 1, 3])),)
    agree(tn.nn.AvgPool2d(*args), torch.nn.AvgPool2d(*args), rng, numbers(rng, 2, 2, 6, 5))


@given(SEEDS, st.booleans(), st.integers(0, 3), st.integers(-1, 3))
def test_shapes_and_relu(seed, inplace, start, end):
    rng = np.random.default_rng(seed)
    x = numbers(rng, 2, 1, 3, 2)
    assert repr(tn.nn.ReLU(inplace)) == repr(torch.nn.ReLU(inplace))
    agree(*(nn.Sequential(nn.Identity(), nn.ReLU()) for nn in (tn.nn, torch.nn)), rng, x)
    agree(tn.nn.Unflatten(2, (3, 1)), torch.nn.Unflatten(2, (3, 1)), rng, x)
    assume(end == -1 or start <= end)
    agree(tn.nn.Flatten(start, end), torch.nn.Flatten(start, end), rng, x)


def scores_and_target(rng, lead, kind):
    """(N, C, d) scores and labels, some of them ignored, or probabilities."""
    classes = 4
    shape = (lead[0], classes, *lead[1:])
    if kind == "probabilities":
        p = rng.random(shape)
        return numbers(rng, *shape), p / p.sum(1, keepdims=True), classes
    target = rng.integers(0, classes, lead)
    target[rng.random(lead) < 0.2] = -100
    target.flat[0] = 1
    return numbers(rng, *shape), target, classes


REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


@given(
    SEEDS,
    st.lists(SIZES, min_size=1, max_size=3),
    st.sampled_from(["labels", "probabilities"]),
    REDUCTIONS,
    st.booleans(),
    st.sampled_from([0.0, 0.1, 1.0]),
)
def test_cross_entropy_loss(seed, lead, kind, reduction, weighted, smoothing):
    rng = np.random.default_rng(seed)
    x, target, classes = scores_and_target(rng, lead, kind)
    weight = rng.random(classes) + 0.1 if weighted else None
    options = {"reduction": reduction, "label_smoothing": smoothing}
    ours = tn.nn.CrossEntropyLoss(tn.tensor(weight) if weighted else None, **options)
    theirs = torch.nn.CrossEntropyLoss(torch.tensor(weight) if weighted else None, **options)
    agree(ours, theirs, rng, x, target)


@given(SEEDS, st.lists(SIZES, min_size=1, max_size=3), REDUCTIONS, st.booleans(), st.sampled_from([-100, 2]))
def test_nll_loss(seed, lead, reduction, weighted, ignore):
    rng = np.random.default_rng(seed)
    x, target, classes = scores_and_target(rng, lead, "labels")
    target[target == -100] = ignore
    weight = rng.random(classes) + 0.1 if weighted else None
    options = {"reduction": reduction, "ignore_index": ignore}
    ours = tn.nn.NLLLoss(tn.tensor(weight) if weighted else None, **options)
    agree(ours, torch.nn.NLLLoss(torch.tensor(weight) if weighted else None, **options), rng, x, target)


@given(SEEDS, st.lists(SIZES, max_size=3), REDUCTIONS)
def test_mse_loss(seed, shape, reduction):
    rng = np.random.default_rng(seed)
    x, y = np.asarray(numbers(rng, *shape)), np.asarray(numbers(rng, *shape))
    agree(*(nn.MSELoss(reduction=reduction) for nn in (tn.nn, torch.nn)), rng, x, y)


@pytest.mark.parametrize("loss", ["MSELoss", "CrossEntropyLoss", "NLLLoss"])
@pytest.mark.parametrize("old", [{"size_average": False}, {"reduce": False}, {"size_average": True, "reduce": True}])
def test_older_names_of_reductions(loss, old):
    with pytest.warns(UserWarning, match="please use reduction=") as ours:
        mine = getattr(tn.nn, loss)(**old)
    with pytest.warns(UserWarning, match="please use reduction=") as theirs:
        other = getattr(torch.nn, loss)(**old)
    assert mine.reduction == other.reduction
    assert [str(w.message) for w in ours] == [str(w.message) for w in theirs]


@pytest.mark.parametrize("layer", ["Linear(50, 40)", "Conv2d(6, 8, (3, 2), groups=2)"])
def test_layers_start_from_the_same_distribution(layer):
    """Both fill U(-k, k): the same bounds, the same spread."""
    tn.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = (eval(f"nn.{layer}", {"nn": nn}) for nn in (tn.nn, torch.nn))
    bound = 1 / np.sqrt(theirs.weight[0].numel())
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        a, b = np.abs(p.detach().numpy()), q.detach().abs().numpy()
        assert a.max() <= bound and b.max() <= bound
        assert a.max() > 0.75 * bound
        assert abs(a.mean() / bound - 0.5) < 0.2
