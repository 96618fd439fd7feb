"""Lesson 9: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np

import tinynet as tn

nn = tn.nn


class conv_parameters:
    def wrong_without_bias(inputs, outputs, size):
        """Do not forget the bias"""
        return outputs * inputs * size * size

    def wrong_one_channel(inputs, outputs, size):
        """A filter covers all input channels"""
        return outputs * (size * size + 1)

    def wrong_bias_for_each_channel(inputs, outputs, size):
        """one filter (with one bias) for each output"""
        return outputs * inputs * (size * size + 1)

    def wrong_size_not_squared(inputs, outputs, size):
        """has 9 weights and a bias"""
        return outputs * (inputs * size + 1)

    def right_in_words(inputs, outputs, size):
        weights, biases = inputs * outputs * size**2, outputs
        return np.int64(weights + biases)


def layers(*more, padding=0, features=1600):
    return [nn.Conv2d(1, 32, 3, padding=padding), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=padding),
            nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(features, 128), *more]


class mnist_network:
    def wrong_padded():
        """the maps before Flatten are 5 × 5"""
        return nn.Sequential(*layers(nn.ReLU(), nn.Linear(128, 10), padding=1, features=64 * 7 * 7))

    def wrong_softmax_at_the_end():
        """CrossEntropyLoss takes scores, not probabilities"""
        return nn.Sequential(*layers(nn.ReLU(), nn.Linear(128, 10), nn.Softmax(1)))

    def wrong_no_relu_between_linear():
        """A ReLU after every layer with weights but the last"""
        return nn.Sequential(*layers(nn.Linear(128, 10)))

    def wrong_one_linear_layer():
        """the shape of the result is wrong"""
        return nn.Sequential(*layers())

    def wrong_a_list():
        """a network is expected"""
        return layers(nn.ReLU(), nn.Linear(128, 10))

    def right_pooled_before_relu():
        return nn.Sequential(nn.Conv2d(1, 32, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.MaxPool2d(2),
                             nn.ReLU(), nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10))


def laid_out(x, size, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    view = np.lib.stride_tricks.sliding_window_view(x, size, (2, 3))[:, :, ::stride, ::stride]
    return view  # n c rows columns i j


class im2col:
    def wrong_images_first(x, size, stride, padding):
        """the channels come first"""
        view = laid_out(x, size, stride, padding)
        return view.transpose(0, 4, 5, 1, 2, 3).reshape(x.shape[1] * size[0] * size[1], -1)

    def wrong_transposed(x, size, stride, padding):
        """two places, so two columns
        the pixels from row i and column j on"""
        return im2col.right_by_a_view(x, size, stride, padding).T

    def wrong_stride_ignored(x, size, stride, padding):
        """the matrix should have the shape"""
        return im2col.right_by_a_view(x, size, 1, padding)

    def wrong_first_pixels(x, size, stride, padding):
        """a slice has a third number for that"""
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        (n, c, h, w), (kh, kw) = x.shape, size
        rows, columns = (h - kh) // stride + 1, (w - kw) // stride + 1
        out = np.zeros((c, kh, kw, n, rows, columns))
        for i in range(kh):
            for j in range(kw):
                out[:, i, j] = x[:, :, i:i + rows, j:j + columns].transpose(1, 0, 2, 3)
        return out.reshape(c * kh * kw, -1)

    def wrong_rows_and_columns_swapped(x, size, stride, padding):
        """Weight (i, j) meets"""
        view = laid_out(x, size, stride, padding)
        return view.transpose(1, 5, 4, 0, 2, 3).reshape(x.shape[1] * size[0] * size[1], -1)

    def right_by_a_view(x, size, stride, padding):
        view = laid_out(x, size, stride, padding)
        return view.transpose(1, 4, 5, 0, 2, 3).reshape(x.shape[1] * size[0] * size[1], -1)


def trained(model, train, test, epochs, verbose, optimizer, loss=None):
    trainer = tn.Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    return trainer.fit(*train, epochs=epochs, validation_data=test, verbose=verbose)


class fit:
    def wrong_steps_too_small(model, train, test, epochs, verbose):
        """Try another learning rate"""
        return trained(model, train, test, epochs, verbose, tn.optim.SGD(model.parameters(), lr=1e-4))

    def wrong_steps_too_large(model, train, test, epochs, verbose):
        """Try another learning rate"""
        return trained(model, train, test, epochs, verbose, tn.optim.Adam(model.parameters(), lr=1.0))

    def wrong_epochs_ignored(model, train, test, epochs, verbose):
        """pass `epochs` on"""
        return trained(model, train, test, 2, verbose, tn.optim.Adam(model.parameters(), lr=0.005))

    def wrong_returns_the_model(model, train, test, epochs, verbose):
        """Return what trainer.fit returns"""
        trained(model, train, test, epochs, verbose, tn.optim.Adam(model.parameters(), lr=0.005))
        return model

    def wrong_trains_another(model, train, test, epochs, verbose):
        """no weight has changed
        the parameters of this model"""
        other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        return trained(other, train, test, epochs, verbose, tn.optim.Adam(other.parameters(), lr=0.005))

    def wrong_without_validation(model, train, test, epochs, verbose):
        """its fit validation_data=test"""
        trainer = tn.Trainer(model, nn.CrossEntropyLoss(), tn.optim.Adam(model.parameters()), metrics=["accuracy"])
        return trainer.fit(*train, epochs=epochs, verbose=verbose)

    def right_with_momentum(model, train, test, epochs, verbose=True):
        return trained(model, train, test, epochs, verbose, tn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))

    def right_with_adam(model, train, test, epochs, verbose=True):
        return trained(model, train, test, epochs, verbose, tn.optim.Adam(model.parameters(), lr=0.005))
