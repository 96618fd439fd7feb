"""The classic mistakes are warned of, each by its class; a training without them, or that only looks so, is not."""

from __future__ import annotations

import warnings

import pytest

import tinynet as tn
from tinynet import nn
from tinynet.mistakes import (
    EvalMode,
    MissingZeroGrad,
    ProbabilitiesForScores,
    StuckLoss,
    TrainingWarning,
    UnscaledInput,
    UntrainedParameters,
)

# every warning is an error in these tests (pyproject.toml): a test without pytest.warns says that there is none


def problem(classes=3, n=30, seed=0):
    g = tn.Generator().manual_seed(seed)
    x = tn.randn(n, 4, generator=g)
    return x, x[:, :classes].argmax(1)


def network(*end):
    tn.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), *end)


def fit(model, x, y, loss=None, lr=0.1, optimizer=None, **kwargs):
    optimizer = optimizer or tn.optim.SGD(model.parameters(), lr=lr)
    return tn.Trainer(model, loss or nn.CrossEntropyLoss(), optimizer).fit(x, y, **{"verbose": False, **kwargs})


def test_there_is_nothing_to_say_of_a_training_without_mistakes():
    fit(network(), *problem(), epochs=5)
    fit(network(nn.LogSoftmax(1)), *problem(), nn.NLLLoss())
    x, y = problem()
    fit(network(nn.Sigmoid()), x, nn.functional.one_hot(y, 3).float(), nn.BCELoss())
    fit(network(), x, nn.functional.one_hot(y, 3).float(), nn.BCEWithLogitsLoss())
    model = nn.Linear(4, 1)
    fit(model, x, x[:, :1], nn.MSELoss(), epochs=60, lr=0.5)


def test_each_is_a_warning_of_a_mistake_in_training_and_can_be_silenced_alone():
    for kind in (EvalMode, MissingZeroGrad, ProbabilitiesForScores, StuckLoss, UnscaledInput, UntrainedParameters):
        assert issubclass(kind, TrainingWarning) and getattr(tn.mistakes, kind.__name__) is kind
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProbabilitiesForScores)
        fit(network(nn.Softmax(1)), *problem())


def test_the_warning_is_of_the_line_that_called_fit():
    with pytest.warns(EvalMode) as caught:
        fit(network().eval(), *problem())
    assert caught[0].filename == __file__


# --- softmax before cross-entropy ---------------------------------------------------------------------------
@pytest.mark.parametrize(("end", "loss", "text"), [
    (nn.Softmax(1), nn.CrossEntropyLoss(), "outputs are probabilities, but the cross-entropy takes scores"),
    (nn.Softmax(1), nn.functional.cross_entropy, "outputs are probabilities"),
    (nn.Softmax(1), nn.CrossEntropyLoss(label_smoothing=0.1), "outputs are probabilities"),
    (nn.Softmax(1), nn.NLLLoss(), "NLLLoss takes log-probabilities, which are never above 0"),
    (nn.Identity(), nn.NLLLoss(), "NLLLoss takes log-probabilities"),
])  # fmt: skip
def test_a_softmax_before_a_loss_that_has_one(end, loss, text):
    with pytest.warns(ProbabilitiesForScores, match=text) as caught:
        fit(network(end), *problem(), loss, epochs=2)
    assert len(caught) == 1


class Penalized(nn.Module):
    def forward(self, output, target):
        return 2 * nn.functional.cross_entropy(output, target, label_smoothing=0.1) + output.square().mean()


@pytest.mark.parametrize("loss", [lambda o, t: nn.functional.cross_entropy(o, t), Penalized()])
@pytest.mark.parametrize(("end", "text"), [(nn.Softmax(1), "are probabilities"), (nn.Sigmoid(), "ends with a sigmoid")])
def test_a_loss_of_ones_own_is_known_by_what_it_does(loss, end, text):
    with pytest.warns(ProbabilitiesForScores, match=text):
        fit(network(end), *problem(), loss)


def test_a_loss_of_ones_own_may_make_scores_of_probabilities():
    fit(network(nn.Softmax(1)), *problem(), lambda o, t: nn.functional.cross_entropy(o.log(), t))
    fit(network(nn.Sigmoid()), *problem(), lambda o, t: nn.functional.cross_entropy(5 * o, t))
    fit(network(nn.Softmax(1)), *problem(), lambda o, t: nn.functional.nll_loss(o.log(), t))
    head = nn.Linear(4, 3)  # all that is trained: no gradient goes to the probabilities
    fit(nn.Softmax(1), *problem(), lambda o, t: nn.functional.cross_entropy(head(o), t),
        optimizer=tn.optim.SGD(head.parameters(), lr=0.1))


def test_a_sigmoid_before_cross_entropy():
    with pytest.warns(ProbabilitiesForScores, match="ends with a sigmoid, but the cross-entropy takes") as caught:
        fit(network(nn.Sigmoid()), *problem(), epochs=2)
    assert len(caught) == 1
    for end in (nn.LogSigmoid(), nn.SiLU(), nn.Hardtanh()):
        fit(network(end), *problem())


def test_a_sigmoid_before_a_loss_that_has_one():
    x, y = problem()
    with pytest.warns(ProbabilitiesForScores, match="ends with a sigmoid, but BCEWithLogitsLoss takes scores"):
        fit(network(nn.Sigmoid()), x, nn.functional.one_hot(y, 3).float(), nn.BCEWithLogitsLoss())


def test_a_log_softmax_before_cross_entropy_changes_nothing_and_one_class_is_no_softmax():
    fit(network(nn.LogSoftmax(1)), *problem())
    fit(nn.Linear(4, 1), problem()[0], tn.zeros(30, dtype=tn.int64), epochs=1)


# --- parameters that are not trained ------------------------------------------------------------------------
def test_parameters_that_the_optimizer_was_not_given():
    model = network()
    with pytest.warns(UntrainedParameters, match=r"was not given 2\.weight, 2\.bias: they will stay"):
        fit(model, *problem(), optimizer=tn.optim.SGD(model[0].parameters(), lr=0.1))
    old = tn.optim.SGD(network().parameters(), lr=0.1)
    with pytest.warns(UntrainedParameters, match=r"0\.weight, 0\.bias, 2\.weight, 2\.bias: .*of this very model"):
        fit(model, *problem(), optimizer=old)
    deep = nn.Sequential(*[nn.Linear(4, 4) for _ in range(5)])
    with pytest.warns(UntrainedParameters, match=r"0\.weight.* and 4 more: "):
        fit(deep, *problem(), optimizer=tn.optim.SGD([deep[4].weight], lr=0.1))


def test_frozen_parameters_need_no_optimizer():
    model = network()
    model[0].requires_grad_(False)
    fit(model, *problem(), optimizer=tn.optim.SGD(model[2].parameters(), lr=0.1))


# --- eval mode ----------------------------------------------------------------------------------------------
def test_a_model_left_in_eval_mode():
    model = network(nn.Dropout(0.5))
    with pytest.warns(EvalMode, match=r"fit\(\) has called model.train\(\)"):
        fit(model.eval(), *problem())
    assert all(module.training for module in model.modules())
    look = tn.LambdaCallback(on_epoch_end=lambda epoch, logs: epoch == 0 and model.eval())
    with pytest.warns(EvalMode) as caught:
        fit(model, *problem(), epochs=3, callbacks=[look])
    assert len(caught) == 1 and model.training


def test_parts_may_be_in_eval_mode():
    model = network(nn.BatchNorm1d(3))
    model[3].eval()
    fit(model, *problem())
    assert not model[3].training


# --- inputs -------------------------------------------------------------------------------------------------
def pixels():
    return (tn.arange(120) * 77 % 256).reshape(30, 4).float()


@pytest.mark.parametrize(("x", "text"), [
    (pixels(), r"the inputs lie between \d+ and 25\d \(root mean square 1\d\d.*\): .*Divide pixels by 255"),
    (tn.full((30, 4), 2000.0) + tn.randn(30, 4), "the inputs lie between 199"),
    (tn.randn(30, 4) * 1000, "subtract the mean and divide by the standard deviation"),
])  # fmt: skip
def test_inputs_that_are_large(x, text):
    with pytest.warns(UnscaledInput, match=text):
        fit(network(), x, problem()[1], lr=1e-6)


def test_inputs_that_are_not():
    x, y = problem()
    x = x.clone()
    x[0, 0] = 30.0  # an outlier
    fit(network(), x, y)
    fit(nn.Sequential(nn.BatchNorm1d(4), network()), pixels(), y)  # the first layer scales them
    model = nn.Sequential(nn.Embedding(1000, 4), nn.Flatten(), nn.Linear(8, 3))
    fit(model, tn.randint(0, 1000, (30, 2)), y)  # numbers of words


# --- a loss that does not move ------------------------------------------------------------------------------
class Dead(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        nn.init.constant_(self.layer.bias, -100.0)

    def forward(self, x):
        return self.layer(x).relu()


@pytest.mark.parametrize(("model", "lr"), [(network(), 0.0), (network(), 1e-12), (Dead(), 0.1)])
def test_a_loss_that_never_moves(model, lr):
    with pytest.warns(StuckLoss, match=r"the loss has been 1\.\d+ for 3 epochs and does not move") as caught:
        fit(model, *problem(), epochs=6, lr=lr)
    assert len(caught) == 1


def test_a_loss_that_moves_a_little_and_one_that_has_nowhere_to_go():
    fit(network(), *problem(), epochs=4, lr=1e-3)
    fit(nn.Linear(4, 1, bias=False), tn.zeros(8, 4), tn.zeros(8, 1), nn.MSELoss(), epochs=4)  # it is 0


# --- zero_grad ----------------------------------------------------------------------------------------------
def loop(clear, steps=4, accumulate=1, clip=False, make=tn.optim.SGD):
    """A loop by hand; clear(model, optimizer) stands where zero_grad() belongs."""
    model = network()
    optimizer = make(model.parameters(), lr=0.01)
    x, y = problem()
    for _ in range(steps):
        clear(model, optimizer)
        for _ in range(accumulate):
            nn.functional.cross_entropy(model(x), y).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


@pytest.mark.parametrize("make", [tn.optim.SGD, tn.optim.Adam])
def test_a_loop_without_zero_grad(make):
    with pytest.warns(MissingZeroGrad, match=r"call optimizer.zero_grad\(\) before each backward") as caught:
        loop(lambda model, optimizer: None, make=make)
    assert len(caught) == 3 and caught[0].filename == __file__


def zero_by_hand(model, optimizer):
    for p in model.parameters():
        if p.grad is not None:
            p.grad.zero_()


def none_by_hand(model, optimizer):
    for p in model.parameters():
        p.grad = None


@pytest.mark.parametrize("clear", [
    lambda model, optimizer: optimizer.zero_grad(),
    lambda model, optimizer: optimizer.zero_grad(set_to_none=False),
    lambda model, optimizer: model.zero_grad(),
    lambda model, optimizer: model.zero_grad(set_to_none=False),
    zero_by_hand,
    none_by_hand,
])  # fmt: skip
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("clip", [False, True])
def test_a_loop_with_zero_grad_in_any_form(clear, accumulate, clip):
    loop(clear, accumulate=accumulate, clip=clip)


def test_two_optimizers_on_one_graph_as_in_a_gan():
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    of_generator, of_critic = (tn.optim.SGD(m.parameters(), lr=0.01) for m in (generator, critic))
    for _ in range(3):
        fake = generator(tn.randn(4, 2))
        of_critic.zero_grad()
        critic(fake.detach()).sum().backward()
        of_critic.step()
        of_generator.zero_grad()
        critic(fake).sum().backward()  # adds to the gradients of the critic, too
        of_generator.step()


def test_steps_without_a_new_gradient_and_gradients_set_by_hand():
    w = tn.zeros(2, requires_grad=True)
    optimizer = tn.optim.SGD([w], lr=0.1)
    w.sum().backward()
    for _ in range(3):
        optimizer.step()
    for _ in range(3):
        w.grad = tn.ones(2)
        optimizer.step()
    for _ in range(3):
        w.grad.copy_(tn.ones(2))
        optimizer.step()


def test_nothing_is_remembered_of_gradients_that_are_gone():
    from tinynet.autograd.writes import writes

    before = len(writes._used)
    loop(lambda model, optimizer: optimizer.zero_grad(), steps=20)
    assert len(writes._used) <= before
