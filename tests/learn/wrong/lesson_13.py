"""Lesson 13: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import math

import numpy as np

import tinynet as tn


class pairs:
    def wrong_same_text_twice(ids, starts, length):
        """y is wrong
        The character to be guessed is the one after"""
        x = tn.stack([ids[s:s + length] for s in starts])
        return x, x

    def wrong_last_character_only(ids, starts, length):
        """y is wrong
        y is as long as x"""
        return tn.stack([ids[s:s + length] for s in starts]), tn.stack([ids[s + length] for s in starts])

    def wrong_next_piece(ids, starts, length):
        """The character to be guessed is the one after"""
        return (tn.stack([ids[s:s + length] for s in starts]),
                tn.stack([ids[s + length:s + 2 * length] for s in starts]))

    def wrong_one_back(ids, starts, length):
        """Row i of x is a piece of ids"""
        return tn.stack([ids[s + 1:s + length + 1] for s in starts]), tn.stack([ids[s:s + length] for s in starts])

    def wrong_the_places(ids, starts, length):
        """Look into ids"""
        x = tn.tensor(starts)[:, None] + tn.arange(length)
        return x, x + 1

    def right_by_a_table_of_places(ids, starts, length):
        z = ids[tn.tensor(starts)[:, None] + tn.arange(length + 1)]
        return z[:, :-1], z[:, 1:]


def softmax(s, axis=-1):
    e = (s - s.amax(axis, keepdim=True)).exp()
    return e / e.sum(axis, keepdim=True)


class attention:
    def wrong_hidden_after_softmax(q, k, v, allowed):
        """Hide the scores, before the softmax"""
        weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1) * allowed
        return weights @ v, weights

    def wrong_hidden_with_zero(q, k, v, allowed):
        """A score of 0 is not low"""
        scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(~allowed, 0.0)
        weights = scores.softmax(-1)
        return weights @ v, weights

    def wrong_mask_turned_round(q, k, v, allowed):
        """the weights are wrong"""
        weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(allowed, -math.inf).softmax(-1)
        return weights @ v, weights

    def wrong_over_queries(q, k, v, allowed):
        """Softmax over the keys, the last axis"""
        scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(~allowed, -math.inf)
        weights = scores.softmax(-2)
        return weights @ v, weights

    def wrong_not_scaled(q, k, v, allowed):
        """Divide the scores by its square root"""
        weights = (q @ k.transpose(-2, -1)).masked_fill(~allowed, -math.inf).softmax(-1)
        return weights @ v, weights

    def wrong_divided_by_d(q, k, v, allowed):
        """Divide the scores by its square root"""
        weights = (q @ k.transpose(-2, -1) / q.shape[-1]).masked_fill(~allowed, -math.inf).softmax(-1)
        return weights @ v, weights

    def wrong_scaled_by_length(q, k, v, allowed):
        """d is the length of a query"""
        weights = (q @ k.transpose(-2, -1) / math.sqrt(k.shape[-2])).masked_fill(~allowed, -math.inf).softmax(-1)
        return weights @ v, weights

    def wrong_all_axes_turned(q, k, v, allowed):
        """it raised"""
        weights = (q @ k.transpose(0, 1) / math.sqrt(q.shape[-1])).masked_fill(~allowed, -math.inf).softmax(-1)
        return weights @ v, weights

    def wrong_weights_forgotten(q, k, v, allowed):
        """two tensors are expected"""
        weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(~allowed, -math.inf).softmax(-1)
        return weights @ v

    def right_with_where(q, k, v, allowed):
        scores = tn.where(allowed, q @ k.mT * q.shape[-1] ** -0.5, tn.tensor(-math.inf, dtype=q.dtype))
        weights = softmax(scores)
        return weights @ v, weights

    def right_query_scaled_first(q, k, v, allowed):
        scores = tn.einsum("...nd,...sd->...ns", q / math.sqrt(q.shape[-1]), k)
        weights = tn.softmax(scores.masked_fill(allowed.logical_not(), -1e30), -1)
        return tn.matmul(weights, v), weights


class causal_mask:
    def wrong_the_wrong_way_round(n):
        """changing the future does not change the past
        Is it the wrong way round?"""
        return tn.ones(n, n, dtype=tn.bool).triu()

    def wrong_not_itself(n):
        """The diagonal belongs to it"""
        return tn.ones(n, n, dtype=tn.bool).tril(-1)

    def wrong_one_too_far(n):
        """column j is True only where j is not after i"""
        return tn.ones(n, n, dtype=tn.bool).tril(1)

    def wrong_numbers(n):
        """a tensor of True and False is expected"""
        return tn.ones(n, n).tril()

    def wrong_only_itself(n):
        """Row i has True in columns 0 to i"""
        return tn.eye(n).bool()

    def right_by_comparison(n):
        return tn.arange(n)[:, None] >= tn.arange(n)[None, :]

    def right_by_loops(n):
        return tn.tensor([[j <= i for j in range(n)] for i in range(n)])


def scores_of(model, ids, last=True):
    return model(tn.tensor([ids[-model.context:]]))[0, -1 if last else 0]


class generate:
    def wrong_first_position(model, ids, count, temperature=1.0):
        """You want those after the last"""
        ids = list(ids)
        for _ in range(count):
            ids.append(int(tn.multinomial((scores_of(model, ids, False) / temperature).softmax(-1), 1)))
        return ids

    def wrong_not_cut(model, ids, count, temperature=1.0):
        """Cut: only the last model.context of them"""
        ids = list(ids)
        for _ in range(count):
            scores = model(tn.tensor([ids]))[0, -1]
            ids.append(int(tn.multinomial((scores / temperature).softmax(-1), 1)))
        return ids

    def wrong_first_ones_kept(model, ids, count, temperature=1.0):
        """it should be shown other characters
        a[-n:] is the end of a list"""
        ids = list(ids)
        for _ in range(count):
            scores = model(tn.tensor([ids[:model.context]]))[0, -1]
            ids.append(int(tn.multinomial((scores / temperature).softmax(-1), 1)))
        return ids

    def wrong_one_character_seen(model, ids, count, temperature=1.0):
        """it should be shown other characters"""
        ids = list(ids)
        for _ in range(count):
            scores = model(tn.tensor([ids[-1:]]))[0, -1]
            ids.append(int(tn.multinomial((scores / temperature).softmax(-1), 1)))
        return ids

    def wrong_likeliest(model, ids, count, temperature=1.0):
        """not always the likeliest"""
        ids = list(ids)
        for _ in range(count):
            ids.append(int(scores_of(model, ids).argmax()))
        return ids

    def wrong_temperature_times(model, ids, count, temperature=1.0):
        """at temperature 0.5
        softmax(scores / temperature)"""
        ids = list(ids)
        for _ in range(count):
            ids.append(int(tn.multinomial((scores_of(model, ids) * temperature).softmax(-1), 1)))
        return ids

    def wrong_new_ones_only(model, ids, count, temperature=1.0):
        """What was given stands at the beginning"""
        return generate.right_in_numpy(model, ids, count, temperature)[len(ids):]

    def right_in_numpy(model, ids, count, temperature=1.0):
        out = np.array(ids)
        for _ in range(count):
            s = scores_of(model, out.tolist()).numpy().astype(float) / temperature
            p = np.exp(s - s.max())
            out = np.append(out, np.random.choice(len(p), p=p / p.sum()))
        return out.tolist()
