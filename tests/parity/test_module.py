"""tinynet.nn beside torch.nn: modules and containers answer alike, and refuse alike."""

from __future__ import annotations

import copy
import pickle
import re
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn

torch = pytest.importorskip("torch")


# ---- one program for both libraries: what it finds must be equal
def outcome(program, lib):
    """What the program returns, or the type of what it raises."""
    try:
        return program(lib, lib.nn)
    except Exception as error:
        return type(error)


def plain(text):
    """A text without what differs on purpose: the library's name and how a shape is printed."""

    def shape(found):
        return str(tuple(int(n) for n in found[1].split(", ") if n))

    text = re.sub(r"torch\.Size\(\[([^\]]*)\]\)", shape, text)
    return text.replace("torch.", "tn.")


BAD = {
    "groups": lambda lib, nn: nn.Conv2d(4, 4, 3, groups=0),
    "groups and input": lambda lib, nn: nn.Conv2d(3, 4, 3, groups=2),
    "groups and output": lambda lib, nn: nn.Conv2d(4, 3, 3, groups=2),
    "padding word": lambda lib, nn: nn.Conv2d(1, 1, 3, padding="full"),
    "same with stride": lambda lib, nn: nn.Conv2d(1, 1, 3, 2, padding="same"),
    "padding mode": lambda lib, nn: nn.Conv2d(1, 1, 3, padding_mode="mirror"),
    "reflection": lambda lib, nn: nn.Conv2d(1, 1, 3, 1, 2, padding_mode="reflect")(lib.zeros(1, 2, 2)),
    "wrapping": lambda lib, nn: nn.Conv2d(1, 1, 3, 1, 3, padding_mode="circular")(lib.zeros(1, 2, 2)),
    "wrapping a vector": lambda lib, nn: nn.Conv2d(1, 1, 3, 1, 3, padding_mode="circular")(lib.zeros(2)),
    "negative padding": lambda lib, nn: nn.Conv2d(1, 1, 3, padding=-1)(lib.zeros(1, 9, 9)),
    "negative kernel": lambda lib, nn: nn.Conv2d(1, 1, -1),
    "negative size": lambda lib, nn: nn.Linear(-1, 2),
    "size of a float": lambda lib, nn: nn.Linear(2.5, 2),
    "channels": lambda lib, nn: nn.Conv2d(1, 1, 3)(lib.zeros(1, 2, 4, 4)),
    "features": lambda lib, nn: nn.Linear(3, 2)(lib.zeros(4, 5)),
    "unflatten": lambda lib, nn: nn.Unflatten(1, 5),
    "unflatten by floats": lambda lib, nn: nn.Unflatten(1, (2.0, 5)),
    "reduction": lambda lib, nn: nn.MSELoss(reduction="median")(lib.zeros(2), lib.zeros(2)),
    "label": lambda lib, nn: nn.CrossEntropyLoss()(lib.zeros(2, 3), lib.tensor([0, 3])),
    "dtype": lambda lib, nn: nn.Linear(2, 2).to(lib.int64),
    "integer parameter": lambda lib, nn: nn.Parameter(lib.tensor([1, 2])),
    "parameter of a list": lambda lib, nn: nn.Parameter([1.0]),
    "argument": lambda lib, nn: nn.Linear(2, 2, biased=True),
    "module argument": lambda lib, nn: nn.Module(3),
    "no forward": lambda lib, nn: nn.Module()(3),
    "submodule": lambda lib, nn: nn.Sequential(nn.ReLU()).get_submodule("1"),
    "submodule that is none": lambda lib, nn: nn.Linear(1, 1).get_submodule("weight"),
    "parameter that is none": lambda lib, nn: nn.Sequential(nn.ReLU()).get_parameter("0"),
    "not callable": lambda lib, nn: nn.ParameterList([lib.zeros(2)])(lib.zeros(2)),
    "list has no forward": lambda lib, nn: nn.ModuleList([nn.ReLU()])(lib.zeros(2)),
    "a module too few": lambda lib, nn: nn.Sequential(nn.ReLU())[1],
    "not a module": lambda lib, nn: nn.Sequential(nn.ReLU(), 3),
    "inserted": lambda lib, nn: nn.Sequential(nn.ReLU()).insert(0, 3),
    "inserted too far": lambda lib, nn: nn.Sequential(nn.ReLU()).insert(2, nn.ReLU()),
    "times nothing": lambda lib, nn: nn.Sequential(nn.ReLU()) * 0,
    "times a half": lambda lib, nn: nn.Sequential(nn.ReLU()) * 0.5,
    "plus a list": lambda lib, nn: nn.Sequential(nn.ReLU()).__add__([nn.ReLU()]),
    "extended by one": lambda lib, nn: nn.ModuleList().extend(nn.ReLU()),
    "name with a dot": lambda lib, nn: nn.ModuleDict({"a.b": nn.ReLU()}),
    "empty name": lambda lib, nn: nn.ModuleDict({"": nn.ReLU()}),
    "name of a method": lambda lib, nn: nn.ModuleDict({"keys": nn.ReLU()}),
    "update with a module": lambda lib, nn: nn.ModuleDict([[nn.ReLU()]]),
    "update with a number": lambda lib, nn: nn.ModuleDict([3]),
    "no such key": lambda lib, nn: nn.ModuleDict()["a"],
    "parameters of one tensor": lambda lib, nn: nn.ParameterList(lib.zeros(2)),
    "key of a number": lambda lib, nn: nn.ParameterDict().__setitem__(3, lib.zeros(2)),
    "training": lambda lib, nn: nn.Linear(1, 1).train("yes"),
    "state of a list": lambda lib, nn: nn.Linear(1, 1).load_state_dict([1]),
    "state of a number": lambda lib, nn: nn.Linear(1, 1, False).load_state_dict({"weight": 1.0}),
    "buffer of a list": lambda lib, nn: nn.Module().register_buffer("b", [1]),
    "buffer's name": lambda lib, nn: nn.Module().register_buffer(3, lib.zeros(1)),
    "taken buffer": lambda lib, nn: nn.Linear(1, 1).register_buffer("weight", lib.zeros(1)),
    "parameter of a tensor": lambda lib, nn: nn.Module().register_parameter("p", lib.zeros(1)),
    "taken parameter": lambda lib, nn: nn.Linear(1, 1).register_parameter("forward", None),
    "weight of a tensor": lambda lib, nn: setattr(nn.Linear(1, 1), "weight", lib.zeros(1, 1)),
    "child of a tensor": lambda lib, nn: setattr(nn.Sequential(nn.ReLU()), "0", lib.zeros(1)),
    "no attribute": lambda lib, nn: nn.Linear(1, 1).weights,
    "nothing to delete": lambda lib, nn: delattr(nn.Linear(1, 1), "weights"),
    "gain": lambda lib, nn: nn.init.calculate_gain("gelu"),
    "gain of a word": lambda lib, nn: nn.init.calculate_gain("leaky_relu", "steep"),
    "fan of a vector": lambda lib, nn: nn.init.xavier_uniform_(lib.zeros(3)),
    "mode": lambda lib, nn: nn.init.kaiming_normal_(lib.zeros(3, 3), mode="fan"),
    "identity of a vector": lambda lib, nn: nn.init.eye_(lib.zeros(3)),
    "orthogonal vector": lambda lib, nn: nn.init.orthogonal_(lib.zeros(3)),
}


@pytest.mark.parametrize("name", BAD)
def test_error_types(name):
    ours, theirs = outcome(BAD[name], tn), outcome(BAD[name], torch)
    assert isinstance(theirs, type) and issubclass(theirs, Exception), "PyTorch allows it"
    assert ours is theirs


def before_init(kind):
    def program(lib, nn):
        class Late(nn.Module):
            def __init__(self):
                value = {"parameter": lambda: nn.Parameter(lib.zeros(1)), "module": nn.ReLU}[kind]()
                self.early = value
                super().__init__()

        try:
            Late()
        except AttributeError as error:
            return str(error).split(":")[0]

    return program


def shared(lib, nn):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight
            self.again = self.a
            self.register_buffer("kept", lib.zeros(1))
            self.register_buffer("passing", lib.zeros(1), persistent=False)
            self.register_buffer("empty", None)

    m = Tied()
    return [
        [name for name, _ in m.named_parameters()],
        [name for name, _ in m.named_parameters("net", recurse=False)],
        [name for name, _ in m.named_parameters(remove_duplicate=False)],
        [name for name, _ in m.named_buffers("net")],
        [name for name, _ in m.named_modules(prefix="net")],
        [name for name, _ in m.named_modules(remove_duplicate=False)],
        [name for name, _ in m.named_children()],
        [*m.state_dict()],
        [*m.state_dict(prefix="net.")],
        len([*m.parameters()]), len([*m.buffers()]), len([*m.modules()]), len([*m.children()]),
        m.state_dict(keep_vars=True)["a.weight"] is m.a.weight,
        m.state_dict()["a.weight"].requires_grad,
        repr(m),
        "passing" in dir(m), "a" in dir(m), m.empty,
    ]  # fmt: skip


def attributes(lib, nn):
    m, facts = nn.Module(), []
    m.x = 3
    m.x = nn.Parameter(lib.zeros(1))
    facts.append(("x" in m.__dict__, [*m._parameters]))
    m.x = None
    facts.append((m.x, [*m._parameters], [*m.state_dict()]))
    m.y = nn.ReLU()
    m.y = None
    facts.append((m.y, [*m._modules], repr(m)))
    m.register_buffer("z", lib.zeros(1), persistent=False)
    m.z = lib.ones(2)
    facts.append((m.z.tolist(), [*m.state_dict()]))
    m.z = nn.Parameter(lib.zeros(1))
    facts.append(([*m._buffers], [*m._parameters], [*m.state_dict()]))
    m.z = None
    del m.z
    facts.append((hasattr(m, "z"), [*m._parameters]))
    return facts


def calling_order(lib, nn):
    seen = []

    class Doubled(nn.Linear):
        def forward(self, x, scale=1.0):
            return super().forward(x) * scale

    m = Doubled(2, 2, bias=False)
    nn.init.eye_(m.weight)
    handles = [
        m.register_forward_pre_hook(lambda m, args: seen.append("pre 1")),
        m.register_forward_pre_hook(lambda m, args: (seen.append("pre 2"), args[0] + 1)[1], prepend=True),
        m.register_forward_pre_hook(lambda m, args, kwargs: (args, {"scale": kwargs["scale"] + 1}), with_kwargs=True),
        m.register_forward_hook(lambda m, args, out: seen.append((args[0].tolist(), out.tolist()))),
        m.register_forward_hook(lambda m, args, out: (seen.append("post 2"), out * 10)[1], prepend=True),
        m.register_forward_hook(lambda m, args, kwargs, out: seen.append(kwargs), with_kwargs=True),
    ]
    facts = [m(lib.ones(1, 2), scale=1.0).tolist(), [*seen]]
    seen.clear()
    handles[1].remove()
    handles[4].remove()
    handles[4].remove()
    return [*facts, m(lib.ones(1, 2), scale=1.0).tolist(), seen]


def always_called(lib, nn):
    seen = []

    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    m = Broken()
    m.register_forward_hook(lambda m, args, out: seen.append("never"))
    m.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(ValueError, match="broken"):
        m(3)
    return seen


def backward_hooks(lib, nn):
    seen = []

    class Two(nn.Module):
        def forward(self, a, b, n, c):
            return a * b * n, b + c

    def note(m, grad_input, grad_output):
        seen.append([[g if g is None else g.tolist() for g in grads] for grads in (grad_input, grad_output)])

    m = Two()
    handle = m.register_full_backward_hook(note)
    a, b = lib.tensor([1.0, 2.0], requires_grad=True), lib.tensor([3.0, 4.0], requires_grad=True)
    c = lib.ones(2)
    y, z = m(a, b, 5.0, c)
    (y * 2).sum().backward()
    m.register_full_backward_hook(lambda m, gi, go: (gi[0] * 100, *gi[1:]))
    y, z = m(a, b, 5.0, c)
    (y.sum() + z.sum()).backward()
    handle.remove()
    m(a, b, 5.0, c)[1].sum().backward()
    with lib.no_grad():
        quiet = m(a, b, 5.0, c)[0].requires_grad
    return seen, a.grad.tolist(), b.grad.tolist(), quiet


def backward_hook_without_input_gradient(lib, nn):
    seen = []
    m = nn.Linear(2, 1)
    m.register_full_backward_hook(lambda m, gi, go: seen.append((gi, [g.tolist() for g in go])))
    with pytest.warns(UserWarning, match="no inputs require gradients"):
        m(lib.ones(3, 2)).sum().backward()
    return seen, m.weight.grad.tolist()


def backward_hook_twice(lib, nn):
    m = nn.ReLU()
    m.register_full_backward_hook(lambda m, gi, go: (gi[0] * 3,))
    x = lib.tensor([2.0], requires_grad=True)
    (g,) = lib.autograd.grad((m(x) ** 3).sum(), x, create_graph=True)
    return g.tolist(), [t.tolist() for t in lib.autograd.grad(g.sum(), x)]


def bad_backward_hook(lib, nn):
    m = nn.ReLU()
    m.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    m(lib.ones(1, requires_grad=True)).sum().backward()


def moving(lib, nn):
    m = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    m[0].register_buffer("steps", lib.tensor([1, 2]))
    weight = m[0].weight
    m(lib.ones(1, 2)).sum().backward()
    facts = []
    for change in (m.double, m.half, m.float, lambda: m.to(lib.float64), lambda: m.to("cpu"),
                   lambda: m.to("cpu", lib.float32), lambda: m.to(lib.zeros(1, dtype=lib.float64)),
                   lambda: m.to(dtype=lib.float32), m.cpu):  # fmt: skip
        assert change() is m
        facts.append([plain(str(t.dtype)).replace("dtype('", "").replace("')", "").removeprefix("tn.")
                      for t in (weight, weight.grad, m[0].bias, m[0].steps)])  # fmt: skip
    m(lib.ones(1, 2)).sum().backward()
    return facts, m[0].weight is weight, weight.requires_grad, weight.is_leaf


def switches(lib, nn):
    m = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    facts = [[x.training for x in m.eval().modules()], [x.training for x in m.train().modules()]]
    facts.append([p.requires_grad for p in m.requires_grad_(False).parameters()])
    m.requires_grad_()
    m(lib.ones(1, 1)).sum().backward()
    grad = m[0].bias.grad
    m.zero_grad(set_to_none=False)
    facts.append((m[0].bias.grad is grad, grad.tolist()))
    m.zero_grad()
    facts.append(m[0].bias.grad)
    order = []
    m.apply(lambda x: order.append(type(x).__name__))
    return [*facts, order]


def lists(lib, nn):
    m = nn.ModuleList([nn.Linear(1, 2)] * 2 + [nn.ReLU()])
    m += [nn.ReLU(), nn.Sequential(nn.ReLU())]
    facts = [repr(m), repr(m[1:]), repr(m + nn.ModuleList([nn.ReLU()])), len(m), repr(nn.ModuleList())]
    m.insert(1, nn.Flatten())
    del m[-1]
    m[0] = nn.Identity()
    facts += [repr(m), repr(m.pop(1)), repr(m), [name for name, _ in m.named_parameters()], "0" in dir(m)]
    del m[1:3]
    return [*facts, repr(m), [*m.state_dict()]]


def dicts(lib, nn):
    m = nn.ModuleDict([["b", nn.ReLU()], ["a", nn.Linear(1, 1)]])
    m.update({"c": nn.Identity(), "b": nn.Flatten()})
    facts = [repr(m), [*m], [*m.keys()], "a" in m, len(m), repr(m.pop("b")), repr(m["c"])]
    del m["c"]
    facts.append([*m.state_dict()])
    m.clear()
    return [*facts, repr(m)]


def parameter_lists(lib, nn):
    m = nn.ParameterList([lib.zeros(2, 3), nn.Parameter(lib.ones(1), requires_grad=False), "word"])
    m += [lib.ones(2)]
    facts = [plain(repr(m)), len(m), [name for name, _ in m.named_parameters()], type(m[0]).__name__, m[2]]
    m[-1] = lib.zeros(4)
    m.append(5)
    facts.append([m[-1], tuple(m[3].shape), len(m[1:3]), [*m.state_dict()]])
    return [*facts, [p.requires_grad for p in m.parameters()]]


def parameter_dicts(lib, nn):
    m = nn.ParameterDict({"b": lib.zeros(2), "a": lib.zeros(3), "n": 7})
    m["c"] = lib.zeros(1)
    n = m | {"d": lib.ones(1)}
    facts = [[*m], [*n], [*reversed(m)], m["n"], m.get("zzz", 3), len(m), "a" in m, [*m.state_dict()]]
    facts += [m.setdefault("e"), type(m.setdefault("f", lib.ones(1))).__name__, m.popitem()[0]]
    facts += [
        [k for k, _ in m.items()],
        tuple(m.pop("a").shape),
        [*m.copy()],
        [*m.fromkeys(["x", "y"])],
        len([*m.values()]),
    ]
    m.clear()
    return [*facts, len(m), repr(m)]


def named_sequence(lib, nn):
    layers = [("first", nn.Linear(2, 2)), ("second", nn.ReLU()), ("third", nn.Linear(2, 1))]
    m = nn.Sequential(OrderedDict(layers))
    facts = [repr(m), repr(m[1:]), repr(m[-1]), [*m.state_dict()], type(m.first).__name__]
    m[1] = nn.Flatten()
    facts.append(repr(m))
    m.append(nn.ReLU())
    facts.append(repr(m))
    del m[0]
    facts.append(repr(m))
    m += nn.Sequential(nn.ReLU())
    return [*facts, repr(m), repr(m * 2), repr(2 * m), repr(m + m), len(m), repr(m.pop(0)), repr(m)]


def printed_parameter(lib, nn):
    p = nn.Parameter(lib.tensor([[1.0, 2.5], [3.0, 4.0]]))
    with lib.no_grad():
        q = nn.Parameter(lib.ones(1))
    other = nn.Parameter(lib.ones(1), requires_grad=False)
    texts = [plain(repr(t)) for t in (p, q, other)]
    return texts, (p * 2).requires_grad, type(p * 2) is type(lib.ones(1)), p.is_leaf


def copies(lib, nn):
    m = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    m.register_module("tied", m[0])
    m(lib.ones(1, 2)).sum().backward()
    facts = []
    for twin in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        facts.append([type(twin[0].weight).__name__, twin[0].weight.grad is None, twin.tied is twin[0], repr(twin),
                      twin[0].weight.requires_grad, bool((twin[0].weight == m[0].weight).all())])  # fmt: skip
        with lib.no_grad():
            twin[0].weight.zero_()
        facts.append(bool((twin[0].weight == m[0].weight).all()))
    return facts


PROGRAMS = [
    shared, attributes, calling_order, always_called, backward_hooks, backward_hook_without_input_gradient,
    backward_hook_twice, bad_backward_hook, moving, switches, lists, dicts, parameter_lists, parameter_dicts,
    named_sequence, printed_parameter, copies, before_init("parameter"), before_init("module"),
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__qualname__.replace(".<locals>.program", ""))
def test_the_same_program_finds_the_same(program):
    assert outcome(program, tn) == outcome(program, torch)


EDITS = st.one_of(
    st.tuples(st.just("append")),
    st.tuples(st.just("insert"), st.integers(-5, 5)),
    st.tuples(st.just("pop"), st.integers(-5, 5)),
    st.tuples(st.just("set"), st.integers(-5, 5)),
    st.tuples(st.just("delete"), st.integers(-5, 5), st.integers(-5, 5)),
    st.tuples(st.just("extend"), st.integers(0, 2)),
    st.tuples(st.just("times"), st.integers(-1, 2)),
)


@given(st.integers(0, 3), st.lists(EDITS, max_size=6))
def test_sequential_edited_at_random(start, edits):
    """Each edit of a Sequential leaves both libraries with the same names, or raises the same type."""

    def edit(nn, m, k, what, i=0, j=0):
        if what == "append":
            m.append(nn.Flatten(k))
        elif what == "insert":
            m.insert(i, nn.Flatten(k))
        elif what == "pop":
            m.pop(i)
        elif what == "set":
            m[i] = nn.Flatten(k)
        elif what == "delete":
            del m[i:j]
        elif what == "extend":
            m.extend(nn.Flatten(k) for _ in range(i))
        else:
            m *= i

    ours, theirs = (nn.Sequential(*(nn.Flatten(-k) for k in range(start))) for nn in (tn.nn, torch.nn))
    for k, step in enumerate(edits):
        results = []
        for nn, m in ((tn.nn, ours), (torch.nn, theirs)):
            try:
                edit(nn, m, k, *step)
                results.append(repr(m))
            except Exception as error:
                results.append(type(error))
        assert results[0] == results[1]


# ---- load_state_dict's report
def network(nn):
    m = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 1), nn.Identity()))
    m.register_parameter("scale", nn.Parameter((tn if nn is tn.nn else torch).ones(())))
    return m


KEYS = [*network(torch.nn).state_dict()]
STRAY = ["0.extra", "2.0.weight.deep", "zzz", "2.1.x", "weight", "2.0.a", "1.y", "2.nothing.here", "scale.x"]


@given(
    st.sets(st.sampled_from(KEYS)),
    st.lists(st.sampled_from(STRAY), unique=True),
    st.dictionaries(st.sampled_from(KEYS), st.lists(st.integers(1, 2), max_size=2).map(tuple)),
    st.booleans(),
    st.booleans(),
)
def test_load_state_dict_reports(missing, stray, reshaped, strict, assign):
    ours, theirs = network(tn.nn), network(torch.nn)
    theirs_before = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    shapes = {k: reshaped.get(k, s) for k, s in theirs_before.items() if k not in missing}
    shapes |= dict.fromkeys(stray, (1,))
    before = {name: t.clone() for name, t in ours.state_dict().items()}
    try:
        theirs.load_state_dict({k: torch.full(s, 7.0) for k, s in shapes.items()}, strict, assign)
        expected = None
    except RuntimeError as error:
        expected = plain(str(error))
    new = {k: tn.full(s, 7.0) for k, s in shapes.items()}
    if expected is None:
        report = ours.load_state_dict(new, strict, assign)
        assert report.missing_keys == [k for k in KEYS if k in missing]
        assert set(report.unexpected_keys) == set(stray)
        assert (str(report) == "<All keys matched successfully>") is not bool(missing or stray)
        for name, t in ours.state_dict().items():
            assert tn.equal(t, before[name] if name in missing else tn.full(t.shape, 7.0))
        assert all(isinstance(p, tn.nn.Parameter) for p in ours.parameters())
    else:
        with pytest.raises(RuntimeError) as caught:
            ours.load_state_dict(new, strict, assign)
        assert str(caught.value) == expected
        for name, t in ours.state_dict().items():
            assert tn.equal(t, before[name]), "half loaded"
