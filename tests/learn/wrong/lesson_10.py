"""Lesson 10: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np


class early_stopping:
    def wrong_at_the_first_rise(losses, patience):
        """not how often the loss rose"""
        for k in range(1, len(losses)):
            if losses[k] >= losses[k - 1]:
                return k, k - 1
        return len(losses) - 1, len(losses) - 1

    def wrong_count_is_not_started_again(losses, patience):
        """patience begins anew"""
        best = worse = 0
        for k, loss in enumerate(losses):
            if loss < losses[best]:
                best = k
            elif k:
                worse += 1
            if worse >= patience:
                return k, best
        return len(losses) - 1, best

    def wrong_one_epoch_late(losses, patience):
        """it stops `patience` epochs after the best
        Count how many epochs ago"""
        return early_stopping.right_with_a_counter(losses, patience + 1)

    def wrong_equal_is_better(losses, patience):
        """is no improvement"""
        best = 0
        for k, loss in enumerate(losses):
            if loss <= losses[best]:
                best = k
            if k - best >= patience:
                return k, best
        return len(losses) - 1, best

    def wrong_best_of_all(losses, patience):
        """The best is the best so far"""
        return early_stopping.right_with_a_counter(losses, patience)[0], int(np.argmin(losses))

    def right_with_a_counter(losses, patience):
        best, lowest, waited = 0, float("inf"), 0
        for k, loss in enumerate(losses):
            if loss < lowest:
                best, lowest, waited = k, loss, 0
            else:
                waited += 1
            if waited == patience:
                break
        return np.int64(k), best


def moved(x, padding, rng, flip, high=None):
    h, w = x.shape[2:]
    wide = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out = np.empty_like(x)
    for k in range(len(x)):
        r, s = rng.integers(0, 2 * padding + 1 if high is None else high, 2)
        piece = wide[k, :, r:r + h, s:s + w]
        out[k] = flip(piece) if rng.random() < 0.5 else piece
    return out


class augment:
    def wrong_upside_down(x, padding, rng):
        """turn the columns around"""
        return moved(x, padding, rng, lambda piece: piece[:, ::-1])

    def wrong_last_place_left_out(x, padding, rng):
        """rng.integers(0, high) leaves out high"""
        return moved(x, padding, rng, lambda piece: piece[:, :, ::-1], max(2 * padding, 1))

    def wrong_batch_moved_alike(x, padding, rng):
        """Draw for each image by itself"""
        r, s = rng.integers(0, 2 * padding + 1, 2)
        wide = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        piece = wide[:, :, r:r + x.shape[2], s:s + x.shape[3]]
        return piece[..., ::-1] if rng.random() < 0.5 else piece

    def wrong_not_padded(x, padding, rng):
        """shifted and perhaps mirrored"""
        r, s = rng.integers(-padding, padding + 1, 2)
        return np.roll(x, (r, s), (2, 3))

    def wrong_never_mirrored(x, padding, rng):
        """it should be about half"""
        return moved(x, padding, rng, lambda piece: piece)

    def wrong_another_generator(x, padding, rng):
        """use rng.random and"""
        return moved(x, padding, np.random.default_rng(), lambda piece: piece[:, :, ::-1])

    def right_vectorised(x, padding, rng):
        wide = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        view = np.lib.stride_tricks.sliding_window_view(wide, x.shape[2:], (2, 3))
        n = np.arange(len(x))
        places = rng.integers(0, 2 * padding + 1, (2, len(x)))
        out = view[n, :, places[0], places[1]]
        flipped = rng.random(len(x)) < 0.5
        return np.where(flipped[:, None, None, None], out[..., ::-1], out)


class dropout_mask:
    def wrong_not_made_larger(shape, p, rng):
        """By what must they be multiplied"""
        return (rng.random(shape) >= p) * 1.0

    def wrong_divided_by_p(shape, p, rng):
        """By what must they be multiplied"""
        return (rng.random(shape) >= p) / p

    def wrong_keeps_p(shape, p, rng):
        """p is the probability to be dropped"""
        return (rng.random(shape) < p) / (1 - p)

    def wrong_whole_rows(shape, p, rng):
        """rng.random(shape)"""
        return np.broadcast_to((rng.random((shape[0], 1)) >= p) / (1 - p), shape)

    def wrong_another_generator(shape, p, rng):
        """use rng, not np.random"""
        return (np.random.default_rng().random(shape) >= p) / (1 - p)

    def right_by_choice(shape, p, rng):
        return rng.choice([0, 1 / (1 - p)], size=shape, p=[p, 1 - p]).astype(np.float32)


def normalised(x, weight, bias, mean, var, eps=1e-5):
    shape = (1, -1, 1, 1)
    return (x - mean.reshape(shape)) / (var.reshape(shape) + eps).sqrt() * weight.reshape(shape) + bias.reshape(shape)


class batch_norm:
    def wrong_each_image_by_itself(x, weight, bias, mean, var, training):
        """With training=False an image's result must not depend"""
        mean = x.mean((0, 2, 3))
        return normalised(x, weight, bias, mean, ((x - mean.reshape(1, -1, 1, 1)) ** 2).mean((0, 2, 3)))

    def wrong_all_channels_together(x, weight, bias, mean, var, training):
        """Each channel has a mean of its own"""
        if training:
            return normalised(x, weight, bias, x.mean() + 0 * mean, x.var() + 0 * var)
        return normalised(x, weight, bias, mean, var)

    def wrong_running_in_training(x, weight, bias, mean, var, training):
        """Each channel has a mean of its own"""
        return normalised(x, weight, bias, mean, var)

    def wrong_unbiased_variance(x, weight, bias, mean, var, training):
        """divides by the number of values less one"""
        if training:
            return normalised(x, weight, bias, x.mean((0, 2, 3)), x.var((0, 2, 3)))
        return normalised(x, weight, bias, mean, var)

    def wrong_without_root(x, weight, bias, mean, var, training):
        """Divide by the square root of the variance"""
        if training:
            mean = x.mean((0, 2, 3))
            var = ((x - mean.reshape(1, -1, 1, 1)) ** 2).mean((0, 2, 3))
        shape = (1, -1, 1, 1)
        return (x - mean.reshape(shape)) / (var + 1e-5).reshape(shape) * weight.reshape(shape) + bias.reshape(shape)

    def wrong_detached(x, weight, bias, mean, var, training):
        """without detach"""
        if training:
            mean = x.detach().mean((0, 2, 3))
            var = ((x.detach() - mean.reshape(1, -1, 1, 1)) ** 2).mean((0, 2, 3))
        return normalised(x, weight, bias, mean, var)

    def right_with_var_and_correction(x, weight, bias, mean, var, training):
        if training:
            mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
        return normalised(x, weight, bias, mean, var)
