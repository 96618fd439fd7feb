"""What Module promises beyond PyTorch's: errors that say where, loading all or nothing, no cycles."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest

import tinynet as tn
from tinynet import nn


def notes(error):
    return getattr(error, "__notes__", [])


def model():
    return nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Sequential(nn.Linear(4, 3), nn.Linear(2, 5)))


def test_an_error_names_the_path_of_the_module_once():
    with pytest.raises(RuntimeError) as caught:
        model()(tn.zeros(6, 4))
    assert notes(caught.value) == ["in module model.2.1 (Linear(in_features=2, out_features=5, bias=True))"]


def test_an_error_of_a_lone_layer_names_the_layer():
    with pytest.raises(RuntimeError) as caught:
        nn.Linear(2, 5)(tn.zeros(6, 4))
    assert notes(caught.value) == ["in module Linear(in_features=2, out_features=5, bias=True)"]


class Net(nn.Module):
    """Holds its layers in a list, and does things with its errors."""

    def __init__(self, forward):
        super().__init__()
        self.layers = nn.ModuleList([nn.ReLU(), nn.Linear(2, 2)])
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


def test_the_path_goes_through_modules_that_are_not_called():
    with pytest.raises(RuntimeError) as caught:
        nn.Sequential(Net(lambda self, x: self.layers[1](x)))(tn.zeros(3))
    what = "Linear(in_features=2, out_features=2, bias=True)"
    assert notes(caught.value) == [f"in module model.0.layers.1 ({what})"]


def test_the_path_of_a_module_made_on_the_way():
    with pytest.raises(RuntimeError) as caught:
        Net(lambda self, x: nn.Linear(7, 1)(x))(tn.zeros(3))
    what = "Linear(in_features=7, out_features=1, bias=True)"
    assert notes(caught.value) == [f"in module model.Linear ({what})"]


def test_an_error_of_the_users_own_keeps_its_type_and_notes():
    class Mine(Exception):
        pass

    def forward(self, x):
        error = Mine("no")
        error.add_note("said the user")
        raise error

    with pytest.raises(Mine) as caught:
        nn.Sequential(Net(forward))(1)
    assert notes(caught.value) == ["said the user", "in module model.0 (Net())"]


def test_an_error_that_was_caught_leaves_no_trace():
    def forward(self, x):
        try:
            self.layers[1](x)
        except RuntimeError:
            raise ValueError("from here") from None

    with pytest.raises(ValueError) as caught:
        nn.Sequential(nn.ReLU(), Net(forward))(tn.zeros(3))
    assert notes(caught.value) == ["in module model.1 (Net())"]


def test_an_error_in_a_hook_is_placed_too():
    m = model()
    m[1].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        m(tn.zeros(1, 4))
    assert notes(caught.value) == ["in module model.1 (ReLU())"]


def test_a_module_that_calls_itself():
    def forward(self, x):
        return self(x - 1) if x else 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        nn.Sequential(Net(forward))(5)
    assert notes(caught.value) == ["in module model.0 (Net())"]


def test_loading_is_all_or_nothing():
    m = model()
    before = {name: t.clone() for name, t in m.state_dict().items()}
    new = {name: tn.zeros_like(t) for name, t in before.items()}
    new["2.1.bias"] = tn.zeros(6)
    with pytest.raises(RuntimeError, match=r"size mismatch for 2\.1\.bias"):
        m.load_state_dict(new)
    assert all(tn.equal(t, before[name]) for name, t in m.state_dict().items())


def test_loading_is_counted_as_a_write():
    m = nn.Linear(2, 1)
    x = tn.ones(3, 2, requires_grad=True)
    loss = m(x).sum()
    m.load_state_dict({"weight": tn.zeros(1, 2), "bias": tn.zeros(1)})
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_loading_keeps_dtype_and_identity():
    m = nn.Linear(2, 1).double()
    weight = m.weight
    m.load_state_dict({"weight": tn.ones(1, 2), "bias": tn.zeros(1)})
    assert m.weight is weight and weight.dtype == tn.float64 and weight.requires_grad and weight.is_leaf


def test_a_state_dict_shares_memory_and_a_deepcopy_does_not():
    m = nn.Linear(2, 1)
    state, twin = m.state_dict(), copy.deepcopy(m)
    nn.init.zeros_(m.weight)
    assert state["weight"].abs().sum() == 0
    assert twin.weight.detach().abs().sum() != 0


def test_pickle_and_deepcopy_keep_hooks_and_shared_parameters():
    m = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    m[1].weight = m[0].weight
    m[0].register_forward_hook(half)
    for twin in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert twin[1].weight is twin[0].weight is not m[0].weight
        assert tn.equal(twin(tn.ones(1, 2)), m(tn.ones(1, 2)))
        assert len(list(twin.parameters())) == 3


def half(module, args, output):
    return output / 2


def test_attributes_before_init_and_unknown_ones():
    class Late(nn.Module):
        def __init__(self):
            self.layer = nn.ReLU()

    with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__\(\) call"):
        Late()
    with pytest.raises(AttributeError, match="'Late' object has no attribute 'anything'"):
        _ = Late.__new__(Late).anything


def test_a_property_may_be_set_and_a_plain_tensor_is_no_parameter():
    class Half(nn.Module):
        @property
        def rate(self):
            return self._rate

        @rate.setter
        def rate(self, value):
            self._rate = value / 2

    m = Half()
    m.rate, m.memory = 4, tn.zeros(2)
    assert m.rate == 2 and not m.state_dict() and not list(m.parameters())


def test_modules_die_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        m = model()
        m[1].register_full_backward_hook(lambda *_: None)
        dead = weakref.ref(m), weakref.ref(m[2][0].weight)
        m[:2](tn.ones(1, 4, requires_grad=True)).sum().backward()
        del m
        assert [r() for r in dead] == [None, None]
    finally:
        gc.enable()


def test_a_hook_may_remove_itself():
    seen = []
    m = nn.ReLU()

    def once(*_):
        seen.append(1)
        handle.remove()

    handle = m.register_forward_hook(once)
    m.register_forward_hook(lambda *_: seen.append(2))
    m(tn.ones(1))
    m(tn.ones(1))
    assert seen == [1, 2, 2]


def test_the_same_hook_registered_twice_is_removed_once():
    seen = []

    def hook(*_):
        seen.append(1)

    m = nn.ReLU()
    first, _ = m.register_forward_hook(hook), m.register_forward_hook(hook)
    first.remove()
    first.remove()
    m(tn.ones(1))
    assert seen == [1]


def test_a_backward_hook_leaves_in_place_modules_right():
    m = nn.ReLU(inplace=True)
    m.register_full_backward_hook(lambda m, gi, go: None)
    x = tn.tensor([-1.0, 2.0], requires_grad=True)
    y = x * 3
    z = m(y)
    assert (y.tolist(), z.tolist()) == ([-3.0, 6.0], [0.0, 6.0]), "the module wrote into its user's tensor"
    z.sum().backward()
    assert x.grad.tolist() == [0.0, 3.0]


def test_a_parameter_shares_memory_and_may_not_be_of_integers():
    data = tn.zeros(2)
    p = nn.Parameter(data)
    with tn.no_grad():
        p.add_(1)
    assert data.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="floating point"):
        nn.Parameter(tn.tensor([1]))
    assert nn.Parameter(tn.tensor([1]), requires_grad=False).requires_grad is False
    assert nn.Parameter(p * 2).is_leaf
    assert nn.Parameter().shape == (0,)


def test_gradients_after_a_change_of_dtype():
    m = nn.Linear(2, 1)
    m(tn.ones(1, 2)).sum().backward()
    m.double()
    assert m.weight.grad.dtype == tn.float64
    m(tn.ones(1, 2, dtype=tn.float64)).sum().backward()
    assert m.weight.grad.tolist() == [[2.0, 2.0]]


def test_zero_grad_of_a_gradient_with_a_history():
    m = nn.Linear(2, 1)
    (m(tn.ones(1, 2)) ** 2).sum().backward(create_graph=True)
    assert m.weight.grad.requires_grad
    m.zero_grad(set_to_none=False)
    assert not m.weight.grad.requires_grad and m.weight.grad.tolist() == [[0.0, 0.0]]


def test_no_gpu_is_an_error_and_nothing_moves():
    m = nn.Linear(2, 1)
    with pytest.raises(RuntimeError, match="cuda"):
        m.cuda(98)
    with pytest.raises(RuntimeError, match="cuda"):
        m.to("cuda:99")
    assert m(tn.ones(1, 2)).shape == (1, 1)
