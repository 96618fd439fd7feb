"""Lesson 15: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np


class matmul_blocked:
    def wrong_not_added(a, b, size, product):
        """begin with zeros and add"""
        c = np.zeros((len(a), b.shape[1]), a.dtype)
        for k in range(0, len(b), size):
            for j in range(0, b.shape[1], size):
                c[:, j:j + size] = product(a[:, k:k + size], b[k:k + size, j:j + size])
        return c

    def wrong_whole_blocks_only(a, b, size, product):
        """has the last, smaller block too"""
        c = np.zeros((len(a), b.shape[1]), a.dtype)
        for k in range(0, len(b) - size + 1, size):
            for j in range(0, b.shape[1] - size + 1, size):
                c[:, j:j + size] += product(a[:, k:k + size], b[k:k + size, j:j + size])
        return c

    def wrong_in_one_direction(a, b, size, product):
        """Cut b in both directions"""
        c = np.zeros((len(a), b.shape[1]), a.dtype)
        for k in range(0, len(b), size):
            c += product(a[:, k:k + size], b[k:k + size])
        return c

    def wrong_block_of_a(a, b, size, product):
        """The same rows of b and columns of a belong together"""
        c = np.zeros((len(a), b.shape[1]), a.dtype)
        for k in range(0, len(b), size):
            for j in range(0, b.shape[1], size):
                c[:, j:j + size] += product(a, b[k:k + size, j:j + size])
        return c

    def wrong_without_blocks(a, b, size, product):
        """one call of product"""
        return a @ b

    def right_blocks_of_rows_too(a, b, size, product):
        c = np.zeros((len(a), b.shape[1]), a.dtype)
        for i in range(0, len(a), size):
            for j in range(0, b.shape[1], size):
                for k in range(0, len(b), size):
                    c[i:i + size, j:j + size] += product(a[i:i + size, k:k + size], b[k:k + size, j:j + size])
        return c


class softmax_blocked:
    def wrong_in_place(x, rows):
        """argument number 1 is changed by the call"""
        for r in range(0, len(x), rows):
            here = x[r:r + rows]
            here -= here.max(1, keepdims=True)
            np.exp(here, out=here)
            here /= here.sum(1, keepdims=True)
        return x

    def wrong_one_maximum(x, rows):
        """Subtract each row's own maximum"""
        out = np.empty_like(x)
        for r in range(0, len(x), rows):
            e = np.exp(x[r:r + rows] - x.max())
            out[r:r + rows] = e / e.sum(1, keepdims=True)
        return out

    def wrong_sum_of_the_block(x, rows):
        """Divide each row by its own sum"""
        out = np.empty_like(x)
        for r in range(0, len(x), rows):
            e = np.exp(x[r:r + rows] - x[r:r + rows].max(1, keepdims=True))
            out[r:r + rows] = e / e.sum()
        return out

    def wrong_over_columns(x, rows):
        """Divide each row by its own sum"""
        out = np.empty_like(x)
        for r in range(0, len(x), rows):
            e = np.exp(x[r:r + rows] - x[r:r + rows].max(0))
            out[r:r + rows] = e / e.sum(0)
        return out

    def wrong_last_block_lost(x, rows):
        """each row sums to 1"""
        out = np.zeros_like(x)
        for r in range(0, len(x) - rows + 1, rows):
            e = np.exp(x[r:r + rows] - x[r:r + rows].max(1, keepdims=True))
            out[r:r + rows] = e / e.sum(1, keepdims=True)
        return out

    def right_with_temporaries(x, rows):
        parts = []
        for r in range(0, len(x), rows):
            e = np.exp(x[r:r + rows] - x[r:r + rows].max(1, keepdims=True))
            parts.append(e / e.sum(1, keepdims=True))
        return np.concatenate(parts)


def channel(x, w, o, image, height, width):
    return sum(w[o, c, r, s] * x[image, c, r:r + height, s:s + width]
               for c in range(w.shape[1]) for r in range(w.shape[2]) for s in range(w.shape[3]))


class conv_share:
    def wrong_all_of_it(worker, workers, x, w, y):
        """Two that write to one place spoil each other's sums"""
        return conv_share.right_by_halves(0, 1, x, w, y)

    def wrong_added_to_what_was_there(worker, workers, x, w, y):
        """y holds anything at"""
        images, channels, height, width = y.shape
        done = 0
        for task in range(worker, images * channels, workers):
            image, o = task // channels, task % channels
            y[image, o] += channel(x, w, o, image, height, width)
            done += 1
        return done

    def wrong_rest_forgotten(worker, workers, x, w, y):
        """what nobody writes is missing"""
        images, channels, height, width = y.shape
        each = images * channels // workers
        for task in range(worker * each, (worker + 1) * each):
            y[task // channels, task % channels] = channel(x, w, task % channels, task // channels, height, width)
        return each

    def wrong_last_takes_the_rest(worker, workers, x, w, y):
        """nobody should have two tasks more"""
        images, channels, height, width = y.shape
        each = images * channels // workers
        end = images * channels if worker == workers - 1 else (worker + 1) * each
        for task in range(worker * each, end):
            y[task // channels, task % channels] = channel(x, w, task % channels, task // channels, height, width)
        return end - worker * each

    def wrong_one_channel_of_x(worker, workers, x, w, y):
        """Add up over c, r and s"""
        return conv_share.right_by_halves(worker, workers, x[:, :1], w[:, :1], y)

    def wrong_turned_round(worker, workers, x, w, y):
        """times x[image, c] at"""
        return conv_share.right_by_halves(worker, workers, x, w[:, :, ::-1, ::-1], y)

    def wrong_says_nothing_of_its_share(worker, workers, x, w, y):
        """Count those that this worker did"""
        conv_share.right_by_halves(worker, workers, x, w, y)
        return y.shape[0] * y.shape[1]

    def right_by_halves(worker, workers, x, w, y):
        images, channels, height, width = y.shape
        n = images * channels
        begin, end = worker * n // workers, (worker + 1) * n // workers
        for task in range(begin, end):
            y[task // channels, task % channels] = channel(x, w, task % channels, task // channels, height, width)
        return end - begin
