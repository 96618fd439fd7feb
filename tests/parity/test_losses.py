"""Losses and distances beside PyTorch's: every constructor argument, derivatives twice, extremes, errors."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
import tinynet.nn.functional as F

torch = pytest.importorskip("torch")

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.lists(st.integers(1, 3), max_size=3)
REDUCTIONS = st.sampled_from(["mean", "sum", "none"])
MARGINS = st.sampled_from([0.25, 1.0])


def both(build):
    return build(tn.nn, tn.tensor), build(torch.nn, torch.tensor)


def signs(rng, *shape):
    return np.asarray(rng.choice([-1, 1], shape))


NUMBERS = {
    "L1Loss": st.just({}),
    "SmoothL1Loss": st.fixed_dictionaries({}, optional={"beta": st.sampled_from([0.0, 0.5, 2.0])}),
    "HuberLoss": st.fixed_dictionaries({}, optional={"delta": st.sampled_from([0.5, 2.0])}),
}


@pytest.mark.parametrize("name", NUMBERS)
@given(SEEDS, SHAPES, REDUCTIONS, st.data())
def test_losses_of_numbers(agree, name, seed, shape, reduction, data):
    rng, options = np.random.default_rng(seed), data.draw(NUMBERS[name])
    x, y = (np.asarray(rng.standard_normal(shape) * 2) for _ in range(2))
    agree(*both(lambda nn, _: getattr(nn, name)(reduction=reduction, **options)), rng, x, y)


@given(SEEDS, SHAPES, REDUCTIONS, st.booleans())
def test_binary_cross_entropy(agree, seed, shape, reduction, weighted):
    rng = np.random.default_rng(seed)
    p, y, w = (np.asarray(rng.uniform(0.05, 0.95, shape)) for _ in range(3))
    weight = w if weighted else None
    pair = both(lambda nn, make: nn.BCELoss(None if weight is None else make(weight), reduction=reduction))
    agree(*pair, rng, p, y)


@given(SEEDS, st.lists(st.integers(1, 3), min_size=1, max_size=3), REDUCTIONS, st.booleans(), st.booleans())
def test_binary_cross_entropy_with_logits(agree, seed, shape, reduction, weighted, positive):
    rng = np.random.default_rng(seed)
    x, y = np.asarray(rng.standard_normal(shape) * 5), np.asarray(rng.uniform(0, 1, shape))
    weight = rng.uniform(0.1, 2, shape) if weighted else None
    pos_weight = rng.uniform(0.1, 3, shape[-1]) if positive else None
    options = {"weight": weight, "pos_weight": pos_weight}

    def build(nn, make):
        given = {name: None if w is None else make(w) for name, w in options.items()}
        return nn.BCEWithLogitsLoss(reduction=reduction, **given)

    agree(*both(build), rng, x, y)


@given(SEEDS, st.lists(st.integers(1, 3), min_size=1, max_size=3), st.booleans(), st.data())
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
def test_kl_div(agree, seed, shape, log_target, data):
    rng, reduction = np.random.default_rng(seed), data.draw(st.sampled_from(["mean", "sum", "none", "batchmean"]))
    x, y = np.log(rng.uniform(0.1, 1, shape)), rng.uniform(0.1, 1, shape)
    target = np.log(y) if log_target else y
    agree(*both(lambda nn, _: nn.KLDivLoss(reduction=reduction, log_target=log_target)), rng, x, target)


@given(SEEDS, st.booleans(), REDUCTIONS, st.sampled_from([0.0, 0.3, -0.2]))
def test_cosine_embedding_loss(agree, seed, batched, reduction, margin):
    rng = np.random.default_rng(seed)
    lead = (3,) if batched else ()
    a, b, target = rng.standard_normal((*lead, 4)), rng.standard_normal((*lead, 4)), signs(rng, *lead)
    agree(*both(lambda nn, _: nn.CosineEmbeddingLoss(margin, reduction=reduction)), rng, a, b, target)


@given(SEEDS, SHAPES, REDUCTIONS, MARGINS)
def test_hinge_and_ranking(agree, seed, shape, reduction, margin):
    rng = np.random.default_rng(seed)
    a, b, target = np.asarray(rng.standard_normal(shape)), np.asarray(rng.standard_normal(shape)), signs(rng, *shape)
    agree(*both(lambda nn, _: nn.HingeEmbeddingLoss(margin, reduction=reduction)), rng, a, target)
    agree(*both(lambda nn, _: nn.MarginRankingLoss(margin, reduction=reduction)), rng, a, b, target)


@given(
    SEEDS,
    st.booleans(),
    REDUCTIONS,
    MARGINS,
    st.sampled_from([1.0, 2.0, 3.0]),
    st.sampled_from([1e-6, 0.1]),
    st.booleans(),
)
def test_triplet_margin_loss(agree, seed, batched, reduction, margin, p, eps, swap):
    rng = np.random.default_rng(seed)
    inputs = [rng.standard_normal((*[3] * batched, 4)) for _ in range(3)]
    pair = both(lambda nn, _: nn.TripletMarginLoss(margin, p, eps, swap, reduction=reduction))
    agree(*pair, rng, *inputs)


def as_module(nn, f, *args, **options):
    """A function of functional as a module without parameters."""

    class Call(nn.Module):
        def forward(self, *tensors):
            return getattr(nn.functional, f)(*tensors, *args, **options)

    return Call()


@given(
    SEEDS,
    st.sampled_from([1.0, 2.0, 3.0, float("inf")]),
    st.integers(-2, 1),
    st.booleans(),
    st.sampled_from([(2, 3), (1, 3), (3,)]),
)
def test_distances(agree, seed, p, dim, keepdim, shape):
    rng = np.random.default_rng(seed)
    a, b = (rng.uniform(0.5, 2, s) * rng.choice([-1, 1], s) for s in ((2, 3), shape))  # no vector is nearly 0
    agree(*both(lambda nn, _: as_module(nn, "normalize", p, dim)), rng, a)
    agree(*both(lambda nn, _: as_module(nn, "cosine_similarity", dim)), rng, a, b)
    agree(*both(lambda nn, _: as_module(nn, "pairwise_distance", p, keepdim=keepdim)), rng, a, b)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["l1_loss", "huber_loss", "mse_loss"])
def test_weighted_losses_of_numbers(name, reduction):
    rng = np.random.default_rng(0)
    x, y, w = (rng.random((2, 3)) for _ in range(3))
    ours = getattr(F, name)(tn.tensor(x), tn.tensor(y), reduction=reduction, weight=tn.tensor(w))
    theirs = getattr(torch.nn.functional, name)(
        torch.tensor(x), torch.tensor(y), reduction=reduction, weight=torch.tensor(w)
    )
    np.testing.assert_allclose(ours.numpy(), theirs.numpy())


# ---- extremes
def test_certain_probabilities():
    """Both logarithms are held at -100, and the slope stays finite, as PyTorch's."""
    found = []
    for make, f in ((tn.tensor, F), (torch.tensor, torch.nn.functional)):
        p = make([0.0, 1.0, 0.0, 1.0]).requires_grad_()
        loss = f.binary_cross_entropy(p, make([0.0, 1.0, 1.0, 0.0]), reduction="none")
        loss.sum().backward()
        found.append((loss.tolist(), p.grad.tolist()))
    assert found[0] == found[1]
    assert found[0][0] == [0, 0, 100, 100]


def test_logits_far_from_zero():
    x = tn.tensor([50.0, -50.0, 1e4, -1e4], dtype=tn.float64, requires_grad=True)
    y = tn.tensor([1.0, 0.0, 0.0, 1.0], dtype=tn.float64)
    loss = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    loss.sum().backward()
    tiny = np.exp(-50)
    np.testing.assert_allclose(loss.tolist(), [tiny, tiny, 1e4, 1e4], rtol=1e-12)
    np.testing.assert_allclose(x.grad.tolist(), [-tiny, tiny, 1, -1], rtol=1e-12)


def test_kl_div_of_impossible_events():
    x = tn.tensor([[0.5, 0.5]]).log().requires_grad_()
    target = tn.tensor([[0.0, 1.0]], requires_grad=True)
    loss = F.kl_div(x, target, reduction="sum")
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2))
    assert np.isfinite(target.grad.numpy()).all() and x.grad.tolist() == [[0, -1]]


def test_directions_of_nothing():
    zero = tn.zeros(1, 3, requires_grad=True)
    y = F.normalize(zero).sum() + F.cosine_similarity(zero, tn.ones(1, 3)).sum()
    y = y + F.cosine_embedding_loss(zero, tn.ones(1, 3), tn.tensor([1]))
    y.backward()
    assert y.item() == 1 and np.isfinite(zero.grad.numpy()).all()


def test_second_derivative_where_input_is_target():
    x = tn.zeros(1, requires_grad=True)
    for f in (F.smooth_l1_loss, F.huber_loss):
        (g,) = tn.autograd.grad(f(x, tn.zeros(1)), x, create_graph=True)
        assert tn.autograd.grad(g, x)[0].item() == 1


# ---- dtypes, warnings, errors
@pytest.mark.parametrize(
    "name", ["l1_loss", "smooth_l1_loss", "kl_div", "binary_cross_entropy_with_logits", "hinge_embedding_loss"]
)
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
def test_dtypes_promote(name):
    ours = getattr(F, name)(tn.full((2,), 0.5), tn.ones(2, dtype=tn.float64))
    theirs = getattr(torch.nn.functional, name)(torch.full((2,), 0.5), torch.ones(2, dtype=torch.float64))
    assert f"torch.{ours.dtype}" == str(theirs.dtype)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


def test_kl_div_warns_of_mean():
    for f, x in ((F, tn.zeros(2)), (torch.nn.functional, torch.zeros(2))):
        with pytest.warns(UserWarning, match="aligns with the KL"):
            f.kl_div(x, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        F.kl_div(tn.zeros(2), tn.zeros(2), reduction="batchmean")


TWO = ["L1Loss", "SmoothL1Loss", "HuberLoss", "BCELoss", "BCEWithLogitsLoss", "HingeEmbeddingLoss"]


@pytest.mark.parametrize("name", TWO)
def test_unequal_shapes_raise(name):
    with pytest.raises(ValueError, match=re.escape("must have the same shape, got (2, 1) and (2,). Broadcasting")):
        getattr(tn.nn, name)()(tn.ones(2, 1), tn.ones(2))
    with pytest.raises(NotImplementedError, match="not implemented for int64"):
        getattr(tn.nn, name)()(tn.tensor([1]), tn.tensor([1]))
    with pytest.raises(TypeError, match="argument 'target' must be Tensor, not float"):
        getattr(tn.nn, name)()(tn.ones(2), 1.0)


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        ("cosine_embedding_loss", ((2, 3), (2, 4), (2,))),
        ("cosine_embedding_loss", ((2, 3), (2, 3), (3,))),
        ("margin_ranking_loss", ((2,), (1,), (2,))),
        ("margin_ranking_loss", ((2,), (2,), (1,))),
        ("triplet_margin_loss", ((2, 3), (1, 3), (2, 3))),
        ("triplet_margin_loss", ((2, 3), (2, 3), (1, 3))),
    ],
)
def test_unequal_sizes_raise(f, shapes):
    with pytest.raises(ValueError, match="must have the same shape"):
        getattr(F, f)(*map(tn.ones, shapes))


BAD = [
    ("cosine_embedding_loss", ((2, 3), (2, 3), (2, 1)), {}, "0D or 1D target tensor expected"),
    ("cosine_embedding_loss", ((2, 3, 2), (2, 3, 2), (2,)), {}, "1D target tensor expects 2D input tensors"),
    ("margin_ranking_loss", ((2,), (2,), (2, 1)), {}, "should have same dimension but got sizes"),
    ("triplet_margin_loss", ((2, 3), (2, 3), (3,)), {}, "expected to have the same number of dimensions"),
    ("triplet_margin_loss", ((2, 3),) * 3, {"margin": 0}, "margin must be greater than 0"),
    ("smooth_l1_loss", ((2,), (2,)), {"beta": -1}, "does not support negative values for beta"),
    ("huber_loss", ((2,), (2,)), {"delta": 0}, "does not support non-positive values for delta"),
    ("l1_loss", ((2,), (2,)), {"reduction": "max"}, "is not a valid value for reduction"),
    ("l1_loss", ((2,), (2,)), {"weight": (3,)}, "Weights and input must have the same size"),
    ("huber_loss", ((2,), (2,)), {"weight": (3,)}, "Weights and input must have the same size"),
    ("binary_cross_entropy", ((2, 3), (2, 3)), {"weight": (2,)}, "2"),
    ("binary_cross_entropy_with_logits", ((2, 3), (2, 3)), {"weight": (2,)}, "2"),
    ("binary_cross_entropy_with_logits", ((2, 3), (2, 3)), {"pos_weight": (2,)}, "2"),
    ("cosine_similarity", ((2, 3), (2, 4)), {}, "must match the size of tensor b"),
    ("cosine_similarity", ((3,), (3,)), {}, "Dimension out of range"),
    ("normalize", ((3,),), {}, "Dimension out of range"),
]


@pytest.mark.parametrize(("name", "shapes", "options", "text"), BAD)
def test_errors(name, shapes, options, text):
    kind = Exception  # and then that of PyTorch
    for f, ones in ((torch.nn.functional, torch.ones), (F, tn.ones)):
        given = {k: ones(v) if isinstance(v, tuple) else v for k, v in options.items()}
        with pytest.raises(kind, match=text) as caught:
            getattr(f, name)(*map(ones, shapes), **given)
        kind = caught.type


def test_errors_of_values_and_dtypes():
    for nn, make in ((tn.nn, tn.tensor), (torch.nn, torch.tensor)):
        f = nn.functional
        with pytest.raises(RuntimeError, match="all elements of input should be between 0 and 1"):
            f.binary_cross_entropy(make([0.5, 1.5]), make([0.0, 1.0]))
        with pytest.raises(RuntimeError, match="all elements of target should be between 0 and 1"):
            f.binary_cross_entropy(make([0.5, 0.5]), make([0.0, 2.0]))
        with pytest.raises(RuntimeError, match="Found dtype"):
            f.binary_cross_entropy(make([0.5]), make([1]))
        with pytest.raises(RuntimeError, match="kl_div: Integral inputs not supported"):
            f.kl_div(make([1]), make([1]), reduction="sum")
        with pytest.raises(RuntimeError, match="expected common dtype to be floating point"):
            f.cosine_similarity(make([1]), make([1]), 0)
        with pytest.raises(ValueError, match="expected margin to be greater than 0, got 0"):
            nn.TripletMarginLoss(0.0)
        with pytest.raises(TypeError, match="delta must be a float or int"):
            nn.HuberLoss(delta="1")


OLD = [
    "L1Loss",
    "SmoothL1Loss",
    "BCELoss",
    "BCEWithLogitsLoss",
    "KLDivLoss",
    "HingeEmbeddingLoss",
    "CosineEmbeddingLoss",
]


@pytest.mark.parametrize("name", [*OLD, "MarginRankingLoss", "TripletMarginLoss"])
def test_older_names_of_reductions(name):
    for nn in (tn.nn, torch.nn):
        with pytest.warns(UserWarning, match="please use reduction='sum'"):
            assert getattr(nn, name)(size_average=False).reduction == "sum"
