"""Exercises, checks and tn.use: what is called, what is printed, what is put back."""
from __future__ import annotations

import random

import numpy as np
import pytest

import tinynet as tn
from tinynet.learn import Wrong, close, draw, find, judge, reference, require, rule, slope
from tinynet.learn.answers import ANSWERS, is_stub
from tinynet.learn.compare import Unable
from tinynet.learn.exercises import EXERCISES
from tinynet.learn.judging import show
from tinynet.learn.lessons import in_words


@pytest.fixture(autouse=True)
def nothing_answered():
    before = dict(ANSWERS)
    yield
    ANSWERS.clear()
    ANSWERS.update(before)
    tn.use(None)


@pytest.fixture
def twice():
    """An exercise of its own: twice its argument, which the engine uses for negation."""
    from tinynet.learn import forward

    @reference("99.twice", engine=lambda mine: [forward("neg", mine)])
    def twice(x):
        return 2 * x

    twice.agrees(x="n k", hint="a hint")
    yield twice
    del EXERCISES["99.twice"]


def answer(written, id="99.twice"):
    return tn.exercise(id)(written)


# --- stubs --------------------------------------------------------------------------------------------------
def test_stubs_are_seen_before_they_run():
    def dots(x):
        """What to do."""
        ...

    def assigned(x):
        y = ...
        return y + x

    def two(x):
        return ..., ...

    def inside(x):
        def visit(y):
            ...
        return visit(x)

    def passing(x):
        pass

    def in_a_call(x):
        return np.exp(...)

    class Layer:
        def forward(self, x):
            ...

    assert all(map(is_stub, (dots, assigned, two, inside, passing, in_a_call, Layer)))


def test_an_ellipsis_that_is_an_index_is_no_stub():
    def indexed(x):
        rest: tuple[int, ...] = x.shape
        where = (..., 0)
        return x[..., None][where], rest

    class Layer:
        def forward(self, x):
            return x[...]

    assert not is_stub(indexed) and not is_stub(Layer)


@pytest.mark.parametrize("stub", [lambda x: None, lambda x: ..., lambda x: (None, None)])
def test_what_returns_nothing_is_not_done(twice, capsys, stub):
    mine = answer(stub)
    assert mine(3) == 6
    tn.check("99.twice")
    assert capsys.readouterr().out.startswith("○ 99.twice: not done yet\n")


def test_not_implemented_is_not_done(twice, capsys):
    def stub(x):
        raise NotImplementedError

    assert answer(stub)(3) == 6
    tn.check("99.twice")
    assert "○ 99.twice: not done yet" in capsys.readouterr().out


# --- which function is called -------------------------------------------------------------------------------
def test_the_answer_is_called_until_it_fails(twice, capsys):
    mine = answer(lambda x: 3 * x)
    assert mine(1) == 3 and mine.status == "unchecked"
    tn.check("99.twice")
    assert mine(1) == 2 and mine.status == "failed"
    mine = answer(lambda x: x + x)
    tn.check("99.twice")
    assert mine(1) == 2 and mine.status == "passed"
    assert capsys.readouterr().out.count("✓ 99.twice") == 1


def test_a_class_may_be_an_answer(twice):
    class Twice:
        """Written by a student."""

    made = answer(Twice)
    assert isinstance(made(), made) and made.__doc__ == "Written by a student."


def test_checking_what_is_not_there(capsys, twice):
    tn.check("99.twice")
    assert "run the cell that defines it first" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"no exercise '01\.integral'; lesson 01 has 01\.forward_difference, "):
        tn.check("01.integral")
    with pytest.raises(ValueError, match=r"lesson nonsense has none"):
        tn.check("nonsense")


# --- what a check says --------------------------------------------------------------------------------------
def test_the_smallest_example_is_shown(twice):
    verdict = judge(twice, lambda x: x * x)
    assert verdict.status == "failed"
    assert [line.split() for line in verdict.message.splitlines() if line.strip()][1:] == [
        ["x", "[[0.25]]"], ["expected", "[[0.5]]"], ["got", "[[0.0625]]"], ["a", "hint"]]


def test_a_crash_is_shown_with_the_students_line(twice):
    def broken(x):
        n = len(x) - len(x)
        return [1 // n]

    verdict = judge(twice, broken)
    assert verdict.status == "error"
    assert "it raised ZeroDivisionError: integer division" in verdict.message
    assert "return [1 // n]" in verdict.message and "in broken, line" in verdict.message


@pytest.mark.parametrize("crash", [SystemExit, MemoryError, RecursionError, AssertionError, KeyError])
def test_no_crash_leaves_a_check(twice, crash):
    def broken(x):
        raise crash("of mine")

    verdict = judge(twice, broken)
    assert verdict.status == "error" and crash.__name__ in verdict.message


def test_arguments_may_not_be_changed(twice):
    def changes(x):
        x *= 2
        return x

    verdict = judge(twice, changes)
    assert verdict.status == "failed" and "argument number 1 is changed by the call" in verdict.message


def test_what_it_prints_is_shown_for_the_failing_example_alone(twice, capsys):
    def chatty(x):
        print("shape", x.shape)
        return x

    verdict = judge(twice, chatty)
    assert "printed" in verdict.message and "shape (1, 1)" in verdict.message
    assert capsys.readouterr().out == ""


def test_answers_that_change_their_mind_are_told_so(twice):
    seen = []

    def fickle(x):
        seen.append(x)
        return x if len(seen) == 3 else 2 * x

    verdict = judge(twice, fickle)
    assert verdict.status == "failed" and "another result at the next call" in verdict.message


def test_a_check_is_the_same_each_time_and_disturbs_nothing(twice):
    messages = {judge(twice, lambda x: x, seed=5).message for _ in range(2)}
    assert len(messages) == 1
    tn.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    want = tn.rand(2).tolist(), np.random.rand(), random.random()
    tn.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    judge(twice, lambda x: 2 * x)
    assert (tn.rand(2).tolist(), np.random.rand(), random.random()) == want


def test_another_seed_draws_other_examples(twice):
    def drawn(seed):
        seen = []
        judge(twice, lambda x: seen.append(x.tolist()) or 2 * x, seed)
        return seen

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_mistake_in_a_check_is_not_the_students(twice):
    @twice.property("a property that is itself wrong", x=object())
    def _(mine, x):
        return None

    with pytest.raises(AttributeError, match="validate"):
        judge(twice, lambda x: 2 * x)


# --- close, require, slope ----------------------------------------------------------------------------------
@pytest.mark.parametrize(("got", "expected"), [
    (1, 1.0), ([1, 2], np.array([1.0, 2.0])), (tn.tensor([1.0]), np.ones(1)), (np.float32(0.1), 0.1),
    ((1, [2, 3]), (1, np.array([2, 3]))), ({"a": 1}, {"a": 1.0}), ("word", "word"), (float("nan"), float("nan")),
    (np.float32([1e3]) / 3, np.array([1e3]) / 3), ([], np.zeros(0))])
def test_close_takes(got, expected):
    close(got, expected)


@pytest.mark.parametrize(("got", "expected", "words"), [
    (np.ones((2, 3)), np.ones((3, 2)), "It looks transposed"),
    (np.ones(3), np.ones((3, 1)), "An axis is lost"),
    (np.ones(3), 1.0, "a sum or mean is missing"),
    ([2.0, 4.0], [1.0, 2.0], "2 times the right one"),
    ([-1.0, -2.0], [1.0, 2.0], "The sign is flipped"),
    ([[1.0, 3.0], [2.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]], ""),
    (np.array([[1.0, 3.0], [2.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 4.0]]), "It looks transposed"),
    ([np.nan, 1.0], [0.0, 1.0], "nan or inf"),
    ("text", 1.0, "is expected, not str"),
    (1.0, (1.0, 2.0), "2 results are expected"),
    ({"a": 1}, {"b": 1}, "other keys"),
    (1 + 1e-5, 1.0, ""), ("word", "words", ""), (True, False, "")])
def test_close_refuses_and_helps(got, expected, words):
    with pytest.raises(Wrong) as caught:
        close(got, expected)
    assert words in f"{caught.value.what} {caught.value.hint}"


def test_a_shape_is_shown_whole_and_numpys_numbers_as_pythons(twice):
    with pytest.raises(Wrong) as caught:
        close((2, 4), (2, 3), "a hint")
    assert (caught.value.expected, caught.value.got) == ((2, 3), (2, 4))
    close([2, 3], (2, 3))
    close(np.array([2, 3]), (2, 3))
    assert show([np.float64(0.5), 2]) == "[0.5, 2]"


def test_require():
    require(True, "fine")
    with pytest.raises(Wrong, match="three are wanted"):
        require(False, "three are wanted", "count them", expected=3, got=2)


def test_slope_gives_gradchecks_diagnosis():
    a, b = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
    slope(rule(np.multiply, lambda g, a, b: (g * b, g * a)), [a, b])
    slope(lambda x: x.exp(), [a], second=True)
    with pytest.raises(Wrong, match=r"argument 0 (?s:.*)sign flipped") as caught:
        slope(rule(np.multiply, lambda g, a, b: (-g * b, g * a)), [a, b])
    assert "ran in" not in str(caught.value), "where the check itself runs helps nobody"
    with pytest.raises(Wrong, match="has shape"):
        slope(rule(np.multiply, lambda g, a, b: (g.sum(), g * a)), [a, b])
    with pytest.raises(Wrong, match="each of the 2 arguments"):
        slope(rule(np.multiply, lambda g, a, b: g * b), [a, b])
    with pytest.raises(ZeroDivisionError):
        slope(rule(np.multiply, lambda g, a, b: 1 // 0), [a, b])


# --- draws --------------------------------------------------------------------------------------------------
def test_sizes_of_one_name_are_equal():
    from hypothesis import given

    seen = set()

    @given(draw.cases({"a": "n k", "b": "k 3", "y": "n of k", "c": "", "t": "n k k n"}, tensors=False))
    def look(case):
        (n, k), y = case["a"].shape, case["y"]
        assert case["b"].shape == (k, 3) and case["c"].shape == () and case["t"].shape == (n, k, k, n)
        assert y.shape == (n,) and y.dtype == np.int64 and 0 <= y.min() <= y.max() < k
        seen.add((n, k))

    look()
    assert len(seen) > 3


def test_distinct_has_no_ties_and_no_zero():
    from hypothesis import given

    @given(draw.distinct((3, 4)))
    def look(a):
        assert len(np.unique(a)) == a.size and (a != 0).all()

    look()


# --- use ----------------------------------------------------------------------------------------------------
def test_a_passed_answer_becomes_the_engines(twice, capsys):
    x = tn.tensor([1.0, 2.0])
    mine = answer(lambda x: 2 * x)
    tn.use(mine)
    assert "has not passed" in capsys.readouterr().out and (-x).tolist() == [-1, -2]
    tn.check("99.twice")
    with tn.use(mine):
        assert (-x).tolist() == [2, 4]
    assert (-x).tolist() == [-1, -2]
    tn.use(mine)
    tn.use(mine)  # as when the cell is run again
    assert (-x).tolist() == [2, 4]
    tn.use(None)
    assert (-x).tolist() == [-1, -2]


def test_a_students_convolution_is_what_the_layers_call():
    from tinynet.learn import forward

    calls = []

    def ones(x, w, b, *, stride, padding, dilation, groups):
        calls.append(x.shape)
        return np.ones((len(x), len(w), x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1), x.dtype)

    @reference("99.conv", engine=lambda mine: [forward("conv2d", mine)])
    def conv(x):
        return x

    try:
        mine = answer(ones, "99.conv")
        mine.status = "passed"
        net = tn.nn.Sequential(tn.nn.Conv2d(1, 2, 3), tn.nn.ReLU(), tn.nn.MaxPool2d(2))
        x = tn.rand(16, 1, 18, 18)
        before = net(x)
        with tn.use(mine):
            assert (net(x) == 1).all().item() and calls == [(16, 1, 18, 18)]
        assert tn.equal(net(x), before)
    finally:
        del EXERCISES["99.conv"]


def test_layers_are_not_fused_past_the_students_function(twice):
    from tinynet import kernels

    mine = answer(lambda x: 2 * x)
    tn.check("99.twice")
    with tn.use(mine):
        assert kernels.one_by_one()
    assert not kernels.one_by_one()


def test_rules_are_replaced_and_put_back():
    mine = answer(lambda g, a, b: (100 * g, g * a), "03.mul_rule")
    mine.status = "passed"
    x = tn.tensor(3.0, requires_grad=True)

    def gradient_of_product():
        x.grad = None
        (x * 2.0).backward()
        return x.grad.item()

    assert gradient_of_product() == 2
    with tn.use(mine):
        assert gradient_of_product() == 100
    assert gradient_of_product() == 2


@pytest.mark.parametrize(("what", "error", "words"), [
    (lambda: (lambda x: x), TypeError, r"decorated with @tn\.exercise"),
    (lambda: answer(lambda f, x, h: 0, "01.forward_difference"), ValueError, "no place for")])
def test_use_refuses(what, error, words):
    with pytest.raises(error, match=words):
        tn.use(what())


# --- helpers ------------------------------------------------------------------------------------------------
def test_scale(monkeypatch):
    monkeypatch.setenv("TINYNET_SCALE", "full")
    assert tn.learn.sized(1, 2) == 2 and tn.learn.sized(1, 2, 3) == 3
    monkeypatch.setenv("TINYNET_SCALE", "huge")
    with pytest.raises(ValueError, match="choose from ci, laptop, full"):
        tn.learn.sized(1, 2)


@pytest.mark.parametrize(("seconds", "words"), [(0.5, "5 seconds"), (62, "60 seconds"), (601, "10 minutes")])
def test_in_words(seconds, words):
    assert in_words(seconds) == words


def test_find_loads_the_lesson():
    assert find("03.gradients").id == "03.gradients"


# --- what Jupyter shows -------------------------------------------------------------------------------------
def test_where_a_lesson_stops_there_is_a_sentence_and_no_traceback():
    assert tn.learn.Stop("no compiler")._render_traceback_() == ["no compiler"]


def test_use_shows_nothing_at_the_end_of_a_cell():
    assert tn.use(None)._ipython_display_() is None


def test_what_cannot_be_checked_here_is_no_mistake_of_the_answer(twice):
    @twice.property("it runs on what is missing here")
    def _(mine):
        raise Unable("this cannot be checked here: no compiler")

    verdict = judge(twice, lambda x: 2 * x)
    assert verdict == ("error", "✗ 99.twice: this cannot be checked here: no compiler")
