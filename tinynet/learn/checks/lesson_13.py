"""Lesson 13, a small GPT: pairs to learn from, attention, the causal mask, and writing."""
from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

import tinynet as tn
from tinynet.learn import close, draw, reference, require


# ---- pairs
@reference("13.pairs")
def pairs(ids, starts, length):
    """For each start, `length` characters of ids from there, and the same one character later."""
    x = tn.stack([ids[s:s + length] for s in starts])
    return x, tn.stack([ids[s + 1:s + length + 1] for s in starts])


@pairs.property("of the numbers 0, 1, 2, … the next is always one more", starts=st.lists(
    st.integers(0, 10), min_size=1, max_size=3), length=st.integers(1, 5))
def _(mine, starts, length):
    got = mine(tn.arange(20), starts, length)
    require(isinstance(got, tuple | list) and len(got) == 2, "two tensors are expected: x, and what follows")
    want = pairs(tn.arange(20), starts, length)
    close(got[0], want[0], "Row i of x is a piece of ids: `length` of them, from starts[i] on.", what="x is wrong")
    close(got[1], want[1], "The character to be guessed is the one after: y[i, j] stands one further on in ids than "
          "x[i, j]. y is as long as x.", what="y is wrong")


pairs.agrees("it is so in any text", ids=draw.whole((12,), 0, 9).map(tn.tensor), hint="Look into ids, at its places "
             "starts[i], starts[i] + 1, …", starts=st.lists(st.integers(0, 6), min_size=1, max_size=3),
             length=st.integers(1, 5))


# ---- attention
@reference("13.attention", tensors=True)
def attention(q, k, v, allowed):
    """softmax(q kᵀ / √d) v and the softmax itself, which is 0 where not allowed."""
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
    return weights @ v, weights


def both(got: Any) -> Any:
    """The two results."""
    require(isinstance(got, tuple | list) and len(got) == 2, "two tensors are expected: what was mixed, and the "
            "weights")
    return got


def everything(q: Any, k: Any) -> Any:
    """Every query may look at every key."""
    return tn.ones(len(q), len(k), dtype=tn.bool)


def before(q: Any, k: Any) -> Any:
    """Query i may look at keys 0 to i."""
    return everything(q, k).tril()


@attention.property("a query of zeros fits all keys alike, and gets the mean of the values", k="s d", v="s m")
def _(mine, k, v):
    mixed, weights = both(mine(tn.zeros(1, k.shape[1], dtype=k.dtype), k, v, everything([0], k)))
    close(weights, tn.full((1, len(k)), 1 / len(k), dtype=k.dtype), "Softmax over the keys, the last axis: each query "
          "has one weight for each key. (nan: a whole row was hidden. Where `allowed` is True a score stays.)",
          what="the weights are wrong")
    close(mixed, v.mean(0, keepdim=True), "Weights @ v: each query's row of weights mixes the rows of v.")


@attention.property("each query's weights sum to 1", q="n d", k="s d", v="s m")
def _(mine, q, k, v):
    weights = both(mine(q, k, v, everything(q, k)))[1]
    require(tuple(weights.shape) == (len(q), len(k)), f"{len(q)} queries and {len(k)} keys make {len(q)} rows of "
            f"{len(k)} weights, not {tuple(weights.shape)}", "q times k transposed: q @ k.transpose(-2, -1).")
    close(weights.sum(-1), tn.ones(len(q), dtype=q.dtype), "Softmax over the keys, the last axis: softmax(-1).")


@attention.property("what is not allowed has no weight, and the others still sum to 1", q="n d", k="n d", v="n m")
def _(mine, q, k, v):
    weights = both(mine(q, k, v, before(q, k)))[1]
    hidden = weights[~before(q, k)]
    close(hidden, tn.zeros(len(hidden), dtype=q.dtype), "Where `allowed` is False the score must be -math.inf before "
          "the softmax: exp(-inf) is 0. (A score of 0 is not low.)", what="a weight that should be 0 is not")
    close(weights.sum(-1), tn.ones(len(q), dtype=q.dtype), "Hide the scores, before the softmax. Hiding the weights "
          "after it leaves rows that sum to less than 1.")


@attention.property("all is divided by √d before the softmax", q="n d", k="s d", v="s m")
def _(mine, q, k, v):
    close(both(mine(q, k, v, everything(q, k))), attention(q, k, v, everything(q, k)),
          "d is the length of a query, q.shape[-1]. Divide the scores by its square root, and then take the softmax.")


@attention.property("axes for the batch and the heads may stand in front", examples=5, seed=draw.seed())
def _(mine, seed):
    q, k, v = tn.randn(3, 2, 3, 4, 5, generator=tn.Generator().manual_seed(seed), dtype=tn.float64)
    allowed = before(range(4), range(4))
    close(both(mine(q, k, v, allowed)), attention(q, k, v, allowed), "Transpose the last two axes only, with "
          "k.transpose(-2, -1), and count axes from the end.")


# ---- the mask
@reference("13.causal_mask")
def causal_mask(n):
    """True at row i and column j where j ≤ i."""
    return tn.ones(n, n, dtype=tn.bool).tril()


@causal_mask.property("it is a table of True and False, n by n", n=st.integers(1, 5))
def _(mine, n):
    got = mine(n)
    require(isinstance(got, tn.Tensor) and got.dtype == tn.bool, "a tensor of True and False is expected, not "
            + (f"of {got.dtype}" if isinstance(got, tn.Tensor) else type(got).__name__),
            "dtype=tn.bool, or a comparison, makes one.")
    require(tuple(got.shape) == (n, n), f"the shape should be ({n}, {n}), not {tuple(got.shape)}")


@causal_mask.property("changing the future does not change the past", x="n 2", cut=st.integers(1, 4))
def _(mine, x, cut):
    x = tn.tensor(x)
    changed = x.clone()
    changed[cut:] = changed[cut:] + 7
    mask = mine(len(x))
    close(attention(changed, changed, changed, mask)[0][:cut], attention(x, x, x, mask)[0][:cut], "Row i says where "
          "position i may look: column j is True only where j is not after i. Is it the wrong way round?",
          what=f"positions from {cut} on were changed, and what came out before them changed too")


@causal_mask.property("each position may look at itself", n=st.integers(1, 5))
def _(mine, n):
    close(mine(n).diagonal(), tn.ones(n, dtype=tn.bool), "The diagonal belongs to it: j = i is allowed. Without it the "
          "first position could look nowhere.")


causal_mask.agrees("all of the past is allowed", n=st.integers(1, 5), hint="Row i has True in columns 0 to i.")


# ---- writing
@reference("13.generate")
def generate(model, ids, count, temperature=1.0):
    """ids and `count` more: each drawn from softmax(scores / temperature) for what follows the last model.context."""
    ids = list(ids)
    for _ in range(count):
        scores = model(tn.tensor([ids[-model.context:]]))[0, -1]
        ids.append(int(tn.multinomial((scores / temperature).softmax(-1), 1)))
    return ids


class Fake:
    """In the place of a model: after each number k, of 10, it is sure that `follows(k)` comes."""

    def __init__(self, context: int, scores: Any) -> None:
        self.context, self.scores = context, scores
        self.seen: list[list[int]] = []

    def __call__(self, x: Any) -> Any:
        require(x.ndim == 2 and len(x) == 1, "the model takes one row of numbers, of shape (1, length); it was given "
                f"{tuple(x.shape)}", "tn.tensor([list]) has one row.")
        require(x.shape[1] <= self.context, f"the model has {self.context} positions and was given {x.shape[1]} "
                "numbers", "Cut: only the last model.context of them.")
        self.seen.append(x[0].tolist())
        return self.scores(x)


def counting(context: int) -> Fake:
    """The next is one more, surely."""
    return Fake(context, lambda x: 1000.0 * tn.nn.functional.one_hot((x + 1) % 10, 10).to(tn.float32))


@generate.property("of a model that counts, 7 and 8 are followed by 9, 0, 1", count=st.integers(0, 4))
def _(mine, count):
    got = mine(counting(10), [7, 8], count, 1.0)
    require(isinstance(got, list), f"a list is expected, not {type(got).__name__}")
    require(len(got) == 2 + count, f"2 given and {count} new ones make {2 + count}, not {len(got)}",
            "What was given stands at the beginning of the list that is returned.", got=got)
    require(list(map(int, got)) == [(7 + k) % 10 for k in range(2 + count)], "the numbers are wrong", "The model gives "
            "scores for what follows after each position. You want those after the last: [0, -1].",
            expected=[(7 + k) % 10 for k in range(2 + count)], got=got)


@generate.property("the model is shown the last model.context characters", context=st.integers(1, 4))
def _(mine, context):
    model, twin = counting(context), counting(context)
    mine(model, [7, 8], 4, 1.0)
    generate(twin, [7, 8], 4, 1.0)
    require([list(map(int, ids)) for ids in model.seen] == twin.seen, "it should be shown other characters",
            "All that there are, while they are few; then the last model.context of them: a[-n:] is the end of a list.",
            expected=twin.seen, got=model.seen)


@generate.property("what scores log 3 more is drawn three times as often; at temperature ½, nine times")
def _(mine):
    for temperature, share in ((1.0, 0.75), (0.5, 0.9)):
        model = Fake(2, lambda x: tn.tensor([0.0, math.log(3.0)]).expand(1, x.shape[1], 2))
        ones = sum(map(int, mine(model, [0], 500, temperature))) / 500
        require(abs(ones - share) < 0.09, f"at temperature {temperature} one of the two came {ones:.0%} of the time",
                "Draw with the probabilities softmax(scores / temperature): not always the likeliest.",
                expected=f"about {share:.0%}", got=f"{ones:.0%}")
