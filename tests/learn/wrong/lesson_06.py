"""Lesson 6: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np

import tinynet as tn


class logsumexp:
    def wrong_naive(s):
        """it is right for scores of 10000
        Subtract the largest score of each row before exp"""
        return np.log(np.exp(s).sum(axis=1))

    def wrong_not_added_again(s):
        """each row has its own"""
        return np.log(np.exp(s - s.max(axis=1, keepdims=True)).sum(axis=1))

    def wrong_axis(s):
        """one number a row"""
        m = s.max(axis=0)
        return m + np.log(np.exp(s - m).sum(axis=0))

    def wrong_largest_of_all(s):
        """rows lie far apart
        Subtract the largest score of each row"""
        return s.max() + np.log(np.exp(s - s.max()).sum(axis=1))

    def wrong_clipped(s):
        """it is right for scores of 10000"""
        return np.log(np.exp(np.clip(s, -700, 700)).sum(axis=1))

    def wrong_the_largest(s):
        """of the scores 0 and 0 it is log 2
        the log of that"""
        return s.max(axis=1)

    def wrong_with_a_column(s):
        """the shape should be (1,), not (1, 1)"""
        m = s.max(axis=1, keepdims=True)
        return m + np.log(np.exp(s - m).sum(axis=1, keepdims=True))

    def right_by_numpy(s):
        return np.logaddexp.reduce(s, axis=1)

    def right_row_by_row(s):
        return [max(row) + np.log(sum(np.exp(v - max(row)) for v in row)) for row in s]

    def right_with_tensors(s):
        return tn.tensor(s).logsumexp(dim=1)


def lse(s):
    m = s.max(axis=1, keepdims=True)
    return m[:, 0] + np.log(np.exp(s - m).sum(axis=1))


class cross_entropy:
    def wrong_sum(scores, labels):
        """equal scores of k classes cost log k
        the mean over the rows"""
        return np.sum(lse(scores) - scores[np.arange(len(labels)), labels])

    def wrong_sign(scores, labels):
        """equal scores of k classes cost log k"""
        return np.mean(scores[np.arange(len(labels)), labels] - lse(scores))

    def wrong_every_pair(scores, labels):
        """From each row the score of its own label"""
        return np.mean(lse(scores)[:, None] - scores[:, labels])

    def wrong_log_of_softmax(scores, labels):
        """sure and wrong
        there is no p in it"""
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return -np.mean(np.log(p[np.arange(len(labels)), labels]))

    def wrong_a_little_added(scores, labels):
        """sure and wrong"""
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return -np.mean(np.log(p[np.arange(len(labels)), labels] + 1e-12))

    def wrong_one_for_each(scores, labels):
        """the shape should be (), not (3,)
        One number"""
        return lse(scores) - scores[np.arange(len(labels)), labels]

    def wrong_all_classes(scores, labels):
        """equal scores of k classes"""
        hot = np.eye(scores.shape[1])[labels]
        return -np.mean(hot * (scores - lse(scores)[:, None]))

    def right_by_one_hot(scores, labels):
        hot = np.eye(scores.shape[1])[labels]
        return -(hot * (scores - lse(scores)[:, None])).sum(axis=1).mean()

    def right_by_a_loop(scores, labels):
        total = 0.0
        for row, label in zip(scores, labels, strict=True):
            total += lse(row[None])[0] - row[label]
        return total / len(scores)


def softmax(s):
    return np.exp(s - lse(s)[:, None])


class cross_entropy_gradient:
    def wrong_without_n(scores, labels):
        """a measured slope agrees
        a row's slope is 1/n of its own"""
        return softmax(scores) - np.eye(scores.shape[1])[labels]

    def wrong_sign(scores, labels):
        """it should rise, the other fall
        The sign is flipped"""
        return (np.eye(scores.shape[1])[labels] - softmax(scores)) / len(labels)

    def wrong_softmax_only(scores, labels):
        """p minus 1 at the label"""
        return softmax(scores) / len(labels)

    def wrong_labels_only(scores, labels):
        """p minus 1 at the label"""
        return -np.eye(scores.shape[1])[labels] / len(labels)

    def wrong_axis(scores, labels):
        """p minus 1 at the label"""
        e = np.exp(scores)
        return (e / e.sum(axis=0) - np.eye(scores.shape[1])[labels]) / len(labels)

    def wrong_overflow(scores, labels):
        """it is right for scores of 10000
        it is never above 0"""
        e = np.exp(scores)
        return (e / e.sum(axis=1, keepdims=True) - np.eye(scores.shape[1])[labels]) / len(labels)

    def wrong_all_elements(scores, labels):
        """it should rise, the other fall
        a factor is missing or one too many"""
        return (softmax(scores) - np.eye(scores.shape[1])[labels]) / scores.size

    def right_by_one_hot(scores, labels):
        return (softmax(scores) - np.eye(scores.shape[1])[labels]) / len(labels)

    def right_by_the_engine(scores, labels):
        s = tn.tensor(scores, requires_grad=True)
        with tn.enable_grad():
            tn.nn.functional.cross_entropy(s, tn.tensor(labels)).backward()
        return s.grad


class precision_recall_f1:
    def wrong_swapped(true, predicted, positive):
        """Precision: of those that were called positive
        result number 1 is wrong"""
        hits = np.sum((predicted == positive) & (true == positive))
        called, there = np.sum(predicted == positive), np.sum(true == positive)
        precision, recall = hits / max(there, 1), hits / max(called, 1)
        return precision, recall, 2 * hits / max(called + there, 1)

    def wrong_mean(true, predicted, positive):
        """twice their product over their sum
        result number 3 is wrong"""
        hits = np.sum((predicted == positive) & (true == positive))
        precision, recall = hits / max(np.sum(predicted == positive), 1), hits / max(np.sum(true == positive), 1)
        return precision, recall, (precision + recall) / 2

    def wrong_nan(true, predicted, positive):
        """no division by 0
        where it is 0, the answer is 0"""
        hits = np.sum((predicted == positive) & (true == positive))
        precision, recall = hits / np.sum(predicted == positive), hits / np.sum(true == positive)
        return precision, recall, 2 * precision * recall / (precision + recall)

    def wrong_agreement(true, predicted, positive):
        """Precision: of those that were called"""
        hits = np.sum(true == predicted)
        precision, recall = hits / max(np.sum(predicted == positive), 1), hits / max(np.sum(true == positive), 1)
        return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)

    def wrong_one_is_positive(true, predicted, positive):
        """Only `positive` counts as positive"""
        hits = np.sum((predicted == 1) & (true == 1))
        called, there = np.sum(predicted == 1), np.sum(true == 1)
        return hits / max(called, 1), hits / max(there, 1), 2 * hits / max(called + there, 1)

    def right_by_sets(true, predicted, positive):
        called, there = set(np.flatnonzero(predicted == positive)), set(np.flatnonzero(true == positive))
        hits = len(called & there)
        if not hits:
            return 0, 0, 0
        p, r = hits / len(called), hits / len(there)
        return p, r, 2 / (1 / p + 1 / r)

    def right_without_a_case(true, predicted, positive):
        hits = np.sum((predicted == positive) & (true == positive))
        called, there = np.sum(predicted == positive), np.sum(true == positive)
        return hits / max(called, 1), hits / max(there, 1), 2 * hits / max(called + there, 1)
