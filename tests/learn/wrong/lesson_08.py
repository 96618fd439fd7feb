"""Lesson 8: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np


def pad(x, p):
    return np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))


def places(x, size, stride):
    for r in range((x.shape[2] - size[0]) // stride + 1):
        for s in range((x.shape[3] - size[1]) // stride + 1):
            yield r, s, x[:, :, r * stride:r * stride + size[0], s * stride:s * stride + size[1]]


class windows:
    def wrong_one_too_few(x, size, stride):
        """The first place counts too"""
        rows, columns = ((n - k) // stride for n, k in zip(x.shape[2:], size, strict=True))
        return [(r, s, x[:, :, r * stride:r * stride + size[0], s * stride:s * stride + size[1]])
                for r in range(rows) for s in range(columns)]

    def wrong_over_the_end(x, size, stride):
        """The first place counts too
        in steps of 1 the window has 6 places, not 12"""
        return [(r // stride, s // stride, x[:, :, r:r + size[0], s:s + size[1]])
                for r in range(0, x.shape[2], stride) for s in range(0, x.shape[3], stride)]

    def wrong_without_stride(x, size, stride):
        """starts at row r · stride"""
        rows, columns = ((n - k) // stride + 1 for n, k in zip(x.shape[2:], size, strict=True))
        return [(r, s, x[:, :, r:r + size[0], s:s + size[1]]) for r in range(rows) for s in range(columns)]

    def wrong_height_and_width_swapped(x, size, stride):
        """Rows are counted with the window's height"""
        return list(places(x, size[::-1], stride))

    def wrong_column_by_column(x, size, stride):
        """Go along the first row, then along the next"""
        return sorted(places(x, size, stride), key=lambda place: (place[1], place[0]))

    def wrong_copies(x, size, stride):
        """A slice x[:, :, a:b, c:d] looks into x"""
        return [(r, s, pixels.copy()) for r, s, pixels in places(x, size, stride)]

    def right_by_loops(x, size, stride):
        return list(places(x, size, stride))


class conv2d:
    def wrong_turned_around(x, w, b, stride, padding):
        """not turned around, not transposed"""
        return conv2d.right_by_loops(x, w[:, :, ::-1, ::-1], b, stride, padding) if w.shape[2:] == (2, 2) else \
            conv2d.right_by_loops(x, w, b, stride, padding)

    def wrong_one_channel(x, w, b, stride, padding):
        """add up over channels, rows and columns"""
        return conv2d.right_by_loops(x[:, :1], w[:, :1], b, stride, padding)

    def wrong_bias_for_each_channel(x, w, b, stride, padding):
        """the filter's bias, once"""
        return conv2d.right_by_loops(x, w, b * x.shape[1], stride, padding)

    def wrong_mean(x, w, b, stride, padding):
        """it is the sum of all products"""
        return conv2d.right_by_loops(x, w / w[0].size, b, stride, padding)

    def wrong_padded_on_one_side(x, w, b, stride, padding):
        """Pad first"""
        x = np.pad(x, ((0, 0), (0, 0), (2 * padding, 0), (2 * padding, 0)))
        return conv2d.right_by_loops(x, w, b, stride, 0)

    def wrong_stride_ignored(x, w, b, stride, padding):
        """`stride` apart
        the shape should be"""
        return conv2d.right_by_loops(x, w, b, 1, padding)

    def right_by_loops(x, w, b, stride, padding):
        x = pad(x, padding)
        rows, columns = ((n - k) // stride + 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True))
        y = np.zeros((len(x), len(w), rows, columns))
        for r, s, pixels in places(x, w.shape[2:], stride):
            for n in range(len(x)):
                for o in range(len(w)):
                    y[n, o, r, s] = (pixels[n] * w[o]).sum() + b[o]
        return y

    def right_by_tensordot(x, w, b, stride, padding):
        view = np.lib.stride_tricks.sliding_window_view(pad(x, padding), w.shape[2:], (2, 3))
        y = np.tensordot(view[:, :, ::stride, ::stride], w, ((1, 4, 5), (1, 2, 3)))
        return (y + b).transpose(0, 3, 1, 2).astype(np.float32)


class conv2d_input_grad:
    def wrong_replaced(g, w, size, stride, padding):
        """Add to what is there"""
        dx = np.zeros((len(g), w.shape[1], size[0] + 2 * padding, size[1] + 2 * padding))
        for r, s, pixels in places(dx, w.shape[2:], stride):
            pixels[:] = np.einsum("no,ocij->ncij", g[:, :, r, s], w)
        return dx[:, :, padding:padding + size[0], padding:padding + size[1]]

    def wrong_with_border(g, w, size, stride, padding):
        """Cut off `padding` pixels at each side"""
        dx = np.zeros((len(g), w.shape[1], size[0] + 2 * padding, size[1] + 2 * padding))
        for r, s, pixels in places(dx, w.shape[2:], stride):
            pixels += np.einsum("no,ocij->ncij", g[:, :, r, s], w)
        return dx

    def wrong_end_of_the_slice(g, w, size, stride, padding):
        """where windows overlap
        the shape should be"""
        return conv2d_input_grad.wrong_with_border(g, w, size, stride, padding)[:, :, padding:-padding,
                                                                                padding:-padding]

    def wrong_turned_filter(g, w, size, stride, padding):
        """Add to what is there"""
        return conv2d_input_grad.right_by_loops(g, w[:, :, ::-1, ::-1], size, stride, padding)

    def wrong_first_filter_only(g, w, size, stride, padding):
        """a measured slope agrees
        Add over the filters (o)"""
        return conv2d_input_grad.right_by_loops(g[:, :1], w[:1], size, stride, padding)

    def right_by_loops(g, w, size, stride, padding):
        dx = np.zeros((len(g), w.shape[1], size[0] + 2 * padding, size[1] + 2 * padding))
        for r in range(g.shape[2]):
            for s in range(g.shape[3]):
                for o in range(len(w)):
                    dx[:, :, r * stride:r * stride + w.shape[2], s * stride:s * stride + w.shape[3]] += (
                        g[:, o, r, s, None, None, None] * w[o])
        return dx[:, :, padding:padding + size[0], padding:padding + size[1]]


class conv2d_weight_grad:
    def wrong_replaced(x, g, size, stride, padding):
        """Add up over the places"""
        dw = np.zeros((g.shape[1], x.shape[1], *size))
        for r, s, pixels in places(pad(x, padding), size, stride):
            dw = np.einsum("no,ncij->ocij", g[:, :, r, s], pixels)
        return dw

    def wrong_mean_over_images(x, g, size, stride, padding):
        """No mean: that is the loss's business"""
        return conv2d_weight_grad.right_as_a_convolution(x, g, size, stride, padding) / len(x)

    def wrong_first_image_only(x, g, size, stride, padding):
        """All images share the filters"""
        return conv2d_weight_grad.right_as_a_convolution(x[:1], g[:1], size, stride, padding)

    def wrong_turned_around(x, g, size, stride, padding):
        """a measured slope agrees
        All images share the filters"""
        return conv2d_weight_grad.right_as_a_convolution(x, g, size, stride, padding)[:, :, ::-1, ::-1]

    def wrong_mean_over_places(x, g, size, stride, padding):
        """Add up over the places
        expected"""
        return conv2d_weight_grad.right_as_a_convolution(x, g, size, stride, padding) / (g.shape[2] * g.shape[3])

    def right_as_a_convolution(x, g, size, stride, padding):
        x = pad(x, padding)
        dw = np.zeros((g.shape[1], x.shape[1], *size))
        for i in range(size[0]):
            for j in range(size[1]):
                there = x[:, :, i:i + g.shape[2] * stride:stride, j:j + g.shape[3] * stride:stride]
                dw[:, :, i, j] = np.einsum("ncrs,nors->oc", there[:, :, :g.shape[2], :g.shape[3]], g)
        return dw


class max_pool2d:
    def wrong_values_only(x, size):
        """two results are expected"""
        n, c, h, w = x.shape
        h, w = h // size, w // size
        return x[:, :, :h * size, :w * size].reshape(n, c, h, size, w, size).max((3, 5))

    def wrong_number_in_the_window(x, size):
        """argmax counts within the window"""
        values, where = max_pool2d.right_by_loops(x, size)
        for r, s, pixels in places(x, (size, size), size):
            where[:, :, r, s] = pixels.reshape(*x.shape[:2], -1).argmax(-1)
        return values, where

    def wrong_width_of_the_maps(x, size):
        """W is the width of the whole image"""
        values, where = max_pool2d.right_by_loops(x, size)
        return values, where // x.shape[3] * values.shape[3] + where % x.shape[3]

    def wrong_last_of_equals(x, size):
        """Exactly one pixel may win"""
        values, where = max_pool2d.right_by_loops(x[:, :, ::-1, ::-1][:, :, x.shape[2] % size:, x.shape[3] % size:],
                                                  size)
        h, w = (n // size * size for n in x.shape[2:])
        row, column = where // w, where % w
        return values[:, :, ::-1, ::-1], ((h - 1 - row) * x.shape[3] + w - 1 - column)[:, :, ::-1, ::-1]

    def wrong_over_channels(x, size):
        """Each image and channel has a largest pixel of its own"""
        values, where = max_pool2d.right_by_loops(x, size)
        return np.broadcast_to(values.max(1, keepdims=True), values.shape), where

    def wrong_mean(x, size):
        """the values are the largest of each window"""
        n, c, h, w = x.shape
        h, w = h // size, w // size
        means = x[:, :, :h * size, :w * size].reshape(n, c, h, size, w, size).mean((3, 5))
        return means, max_pool2d.right_by_loops(x, size)[1]

    def right_by_loops(x, size):
        n, c, h, w = x.shape
        values = np.zeros((n, c, h // size, w // size))
        where = np.zeros(values.shape, int)
        for at in np.ndindex(values.shape):
            best = None
            for i in range(at[2] * size, (at[2] + 1) * size):
                for j in range(at[3] * size, (at[3] + 1) * size):
                    if best is None or x[at[0], at[1], i, j] > best:
                        best, where[at] = x[at[0], at[1], i, j], i * w + j
            values[at] = best
        return values, where
