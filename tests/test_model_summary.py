"""The summary of a model: counts against known networks and formulas, and that looking changes nothing."""
from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import tinynet as tn
from tinynet.ops._primitive import PRIMITIVES
from tinynet.recipes import Run

nn = tn.nn


def rows(model, *args, **options):
    return {row.path: row for row in tn.summary(model, *args, **options).layers}


# ---- counts
def test_the_mnist_network():
    """Keras counts 225,034 parameters for it."""
    with tn.use_kernels("reference"):  # others may lay out memory so that flattening copies
        found = tn.summary(Run.of("mnist-cnn").network(), (1, 1, 28, 28))
    assert found.total_parameters == found.trainable_parameters == 225_034
    assert found.parameter_memory == 4 * 225_034
    table = [(row.kind, row.output_shapes, row.parameters, row.multiply_adds, row.memory) for row in found.layers]
    assert table == [
        ("Sequential", [(1, 10)], 0, 0, 0),
        ("Conv2d", [(1, 32, 26, 26)], 320, 26 * 26 * 32 * 9, 4 * 32 * 26 * 26),
        ("ReLU", [(1, 32, 26, 26)], 0, 0, 4 * 32 * 26 * 26),
        ("MaxPool2d", [(1, 32, 13, 13)], 0, 0, 4 * 32 * 13 * 13),
        ("Conv2d", [(1, 64, 11, 11)], 18_496, 11 * 11 * 64 * 32 * 9, 4 * 64 * 11 * 11),
        ("ReLU", [(1, 64, 11, 11)], 0, 0, 4 * 64 * 11 * 11),
        ("MaxPool2d", [(1, 64, 5, 5)], 0, 0, 4 * 64 * 5 * 5),
        ("Flatten", [(1, 1600)], 0, 0, 0),  # a view
        ("Linear", [(1, 128)], 204_928, 1600 * 128, 4 * 128),
        ("ReLU", [(1, 128)], 0, 0, 4 * 128),
        ("Linear", [(1, 10)], 1_290, 1280, 4 * 10),
    ]
    assert found.multiply_adds == sum(row[3] for row in table) and found.output_memory == sum(row[4] for row in table)


N, L, F, H = 3, 5, 7, 6
LSTM_STEPS = N * L * 4 * H * (F + H)
PROJECTIONS = N * L * 8 * 24 + N * L * 8 * 8
SCORES = 2 * N * L * L * 8


@pytest.mark.parametrize("layer, size, work", [
    (nn.Linear(7, 6), (N, L, 7), N * L * 42),
    (nn.Linear(7, 6, bias=False), (7,), 42),
    (nn.Conv2d(4, 6, (3, 2), stride=2, padding=1), (N, 4, 9, 9), N * 6 * 5 * 5 * 4 * 6),
    (nn.Conv2d(4, 6, 3, dilation=2, groups=2), (N, 4, 9, 9), N * 6 * 5 * 5 * 2 * 9),
    (nn.Conv2d(4, 8, 3, groups=4, bias=False), (4, 5, 5), 8 * 3 * 3 * 9),
    (nn.Conv1d(4, 6, 3), (N, 4, 9), N * 6 * 7 * 4 * 3),
    (nn.ConvTranspose2d(4, 6, 3, stride=2), (N, 4, 5, 5), N * 4 * 5 * 5 * 6 * 9),
    (nn.Bilinear(4, 5, 6), [(N, 4), (N, 5)], 2 * N * 4 * 5 * 6),
    (nn.LSTM(F, H), (L, N, F), LSTM_STEPS),
    (nn.LSTM(F, H, num_layers=2, bidirectional=True), (L, N, F), 2 * LSTM_STEPS + 2 * N * L * 4 * H * 3 * H),
    (nn.GRU(F, H, batch_first=True), (N, L, F), N * L * 3 * H * (F + H)),
    (nn.RNN(F, H), (L, F), L * H * (F + H)),
    (nn.LSTMCell(F, H), (N, F), N * 4 * H * (F + H)),
    (nn.MultiheadAttention(8, 2, batch_first=True), [(N, L, 8)] * 3, PROJECTIONS + SCORES),
    (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (N, L, 8), PROJECTIONS + SCORES + 2 * N * L * 8 * 16),
    (nn.BatchNorm2d(4), (N, 4, 5, 5), 0),
    (nn.MaxPool2d(2), (N, 4, 6, 6), 0),
], ids=lambda value: type(value).__name__)
def test_multiply_adds_by_formula(layer, size, work):
    found = tn.summary(layer, size)
    assert found.multiply_adds == work == sum(row.multiply_adds for row in found.layers)
    assert found.total_parameters == sum(p.numel() for p in layer.parameters())


def test_work_that_is_no_layers_belongs_to_the_module_that_does_it():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 5)

        def forward(self, x):
            y = self.inner(x)
            return tn.einsum("ni,nj->ij", y, x @ tn.ones(4, 3)) + nn.functional.scaled_dot_product_attention(
                *[tn.ones(2, 7, 4)] * 3).sum()

    found = rows(Product(), (2, 4))
    assert found[""].multiply_adds == 2 * 4 * 3 + 2 * 5 * 3 + 2 * 2 * 7 * 7 * 4
    assert found["inner"].multiply_adds == 2 * 4 * 5


# ---- what is shared, frozen, unused or nested
class Odd(nn.Module):
    """A layer under two names, a weight in two layers, a frozen layer, one that is never called."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.again = nn.Sequential(self.first, nn.BatchNorm1d(4))
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.first.weight
        self.frozen = nn.Linear(4, 2).requires_grad_(False)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        return self.frozen(self.tied(self.again(self.first(x)))), x


def test_what_is_shared_counts_once():
    found = rows(Odd(), (3, 4))
    assert list(found) == ["", "first", "again", "again.1", "tied", "frozen", "unused"]
    assert (found["first"].calls, found["first"].multiply_adds, found["first"].parameters) == (2, 2 * 3 * 16, 20)
    assert (found["tied"].parameters, found["tied"].multiply_adds) == (4, 3 * 16)
    assert (found["frozen"].parameters, found["frozen"].trainable) == (10, 0)
    assert (found["unused"].calls, found["unused"].output_shapes, found["unused"].parameters) == (0, [], 6)
    assert found[""].output_shapes == [(3, 2), (3, 4)]
    total = tn.summary(Odd(), (3, 4))
    assert (total.total_parameters, total.trainable_parameters) == (48, 38)
    assert total.buffer_memory == 4 * 4 * 2 + 8


def test_the_table():
    tn.manual_seed(0)
    assert str(tn.summary(Odd(), (3, 4))).splitlines() == [
        "Layer (type)             Output shape  Parameters  Multiply-adds  Memory",
        "────────────────────────────────────────────────────────────────────────",
        "Odd                      (3, 2), …",
        "first (Linear, 2 calls)  (3, 4)                20             96    96 B",
        "again (Sequential)       (3, 4)",
        "again.1 (BatchNorm1d)    (3, 4)                 8              0    48 B",
        "tied (Linear)            (3, 4)                 4             48    48 B",
        "frozen (Linear, frozen)  (3, 2)                10             24    24 B",
        "unused (Linear)          not called             6",
        "────────────────────────────────────────────────────────────────────────",
        "Parameters     48 (192 B): 38 trainable, 10 not",
        "Buffers        40 B",
        "Multiply-adds  168",
        "Outputs        216 B",
    ]
    assert str(tn.summary(nn.Linear(2, 3))).splitlines() == [
        "Layer (type)  Parameters", "────────────────────────", "Linear                 9",
        "────────────────────────", "Parameters     9 (36 B): 9 trainable, 0 not"]


def test_depth_folds_what_lies_deeper():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.ReLU(), nn.Linear(8, 2))))
    whole = tn.summary(model, (1, 4))
    for depth, paths in ((0, [""]), (1, ["", "0", "1"]), (2, ["", "0", "1", "1.0", "1.1"])):
        folded = tn.summary(model, (1, 4), depth=depth)
        assert [row.path for row in folded.layers] == paths
        for figure in ("parameters", "trainable", "multiply_adds", "memory"):
            assert sum(getattr(row, figure) for row in folded.layers) == sum(
                getattr(row, figure) for row in whole.layers)
    assert whole.total_parameters == 20 + 40 + 18


def test_inputs_of_other_kinds():
    words = nn.Sequential(nn.Embedding(10, 6), nn.Linear(6, 2))
    assert rows(words, (3, 5), dtypes=[tn.int64])["0"].output_shapes == [(3, 5, 6)]
    assert rows(words, input_data=tn.tensor([[1, 2]]))[""].output_shapes == [(1, 2, 2)]
    assert rows(nn.Linear(4, 2).double(), (3, 4))[""].memory == 3 * 2 * 8  # in the dtype of the parameters

    class Scale(nn.Module):
        def forward(self, x, factor):
            return {"scaled": x * factor}

    assert rows(Scale(), input_data=(tn.ones(2, 3), 2.0))[""].output_shapes == [(2, 3)]
    assert rows(nn.Linear(4, 2), 4)[""].output_shapes == [(2,)]


# ---- looking changes nothing
class Touchy(nn.Module):
    """Counts its calls in buffers, draws numbers, and writes into its input."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", tn.zeros(1))
        self.register_buffer("mean", tn.zeros(4))
        self.layers = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4), nn.ReLU(inplace=True))

    def forward(self, x):
        self.calls = self.calls + 1
        self.mean.add_(1.0)
        return self.layers(x + tn.randn(4)) + x.mul_(2.0)


def state(model):
    buffers = {name: (id(b), b.tolist()) for name, b in model.named_buffers()}
    modes = [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    forwards = [id(p.forward) for p in PRIMITIVES.values()]
    return buffers, modes, tn.get_rng_state().tolist(), forwards, tn.is_grad_enabled()


def test_model_and_random_stream_are_afterwards_as_they_were():
    model = Touchy().train()
    model.layers[1].eval()
    before, x = state(model), tn.ones(3, 4)
    found = tn.summary(model, input_data=x)
    assert state(model) == before and x.tolist() == tn.ones(3, 4).tolist()
    assert found.multiply_adds == 0 and all(p.grad is None for p in model.parameters())


def test_also_where_the_model_fails():
    model = nn.Sequential(Touchy(), nn.Linear(5, 1))
    before = state(model)
    with pytest.raises(RuntimeError, match=r"expected \(…, 5\), got \(3, 4\)"):
        tn.summary(model, (3, 4))
    assert state(model) == before
    assert tn.summary(Touchy(), (3, 4)).layers[0].calls == 1


def test_results_are_measured_in_eval_mode_and_nothing_is_recorded():
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append((self.training, tn.is_grad_enabled()))
            return x

    tn.summary(Look(), (1,))
    assert seen == [(False, False)]


def test_another_thread_works_on_unseen():
    """Its products are not counted here, and it cannot be watched at the same time."""
    errors = []

    class Threaded(nn.Module):
        def forward(self, x):
            def elsewhere():
                tn.ones(9, 9) @ tn.ones(9, 9)
                try:
                    tn.summary(nn.Linear(1, 1), (1,))
                except RuntimeError as error:
                    errors.append(str(error))
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            return x @ x

    assert tn.summary(Threaded(), (3, 3)).multiply_adds == 27
    assert "in another thread" in errors[0]


@pytest.mark.parametrize("call, error, message", [
    (lambda: tn.summary(3), TypeError, "'model' must be a tn.nn.Module, not int"),
    (lambda: tn.summary(nn.Linear(1, 1), (1, 0)), ValueError, r"a shape of ints from 1, .*got \(1, 0\)"),
    (lambda: tn.summary(nn.Linear(1, 1), (1, 2.5)), ValueError, "a shape of ints from 1"),
    (lambda: tn.summary(nn.Linear(1, 1), (1,), tn.ones(1)), ValueError, "not both"),
    (lambda: tn.summary(nn.Linear(1, 1), (1,), dtypes=[tn.float32] * 2), ValueError, "2 dtypes for 1 inputs"),
    (lambda: tn.summary(nn.Linear(1, 1), depth=-1), ValueError, "depth must be None or an int from 0, got -1"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_large_model_is_counted_without_its_formulas_overflowing():
    big = tn.summary(nn.Conv2d(3, 8, 1), (1, 3, 600, 600))
    assert big.multiply_adds == math.prod((8, 600, 600, 3)) and isinstance(big.multiply_adds, int)
    assert not isinstance(big.multiply_adds, np.integer)
