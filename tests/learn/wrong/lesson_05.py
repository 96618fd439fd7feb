"""Lesson 5: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import tinynet as tn

mse_loss = tn.nn.functional.mse_loss


class mse:
    def wrong_sum(predicted, true):
        """their mean is 5
        then take the mean"""
        return (predicted - true).square().sum()

    def wrong_not_squared(predicted, true):
        """the squares are 1 and 9
        Square each difference"""
        return (predicted - true).mean()

    def wrong_root(predicted, true):
        """their mean is 5"""
        return (predicted - true).square().mean().sqrt()

    def wrong_one_for_each(predicted, true):
        """the shape should be (), not (2, 1)
        one number"""
        return (predicted - true).square()

    def wrong_by_a_number(predicted, true):
        """a column and a row are refused
        raise ValueError(...) if they differ"""
        return (predicted - true).square().mean()

    def wrong_out_of_the_graph(predicted, true):
        """backward finds the slope of each prediction
        detach() and numpy() cut the graph"""
        if predicted.shape != true.shape:
            raise ValueError
        return ((predicted.detach() - true) ** 2).mean()

    def right_with_the_engines_own(predicted, true):
        return mse_loss(predicted, true)

    def right_by_powers(y_hat, y):
        if tuple(y_hat.shape) != tuple(y.shape):
            raise ValueError("shapes differ")
        return ((y_hat - y) ** 2).sum() / y.numel()


class standardise:
    def wrong_each_by_its_own(train, test):
        """a house is treated alike
        The mean and the standard deviation of train go for both"""
        return tuple((t - t.mean(axis=0)) / t.std(axis=0) for t in (train, test))

    def wrong_both_together(train, test):
        """mean 0 and standard deviation 1"""
        both = tn.cat([train, test])
        return tuple((t - both.mean(axis=0)) / both.std(axis=0) for t in (train, test))

    def wrong_std_of_both(train, test):
        """the standard deviation of a column of train is not 1"""
        mean, std = train.mean(axis=0), tn.cat([train, test]).std(axis=0)
        return (train - mean) / std, (test - mean) / std

    def wrong_axis(train, test):
        """Subtract from each column its own mean"""
        mean, std = train.mean(axis=1, keepdims=True), train.std(axis=1, keepdims=True)
        return (train - mean) / std, (test - test.mean(axis=1, keepdims=True)) / test.std(axis=1, keepdims=True)

    def wrong_over_everything(train, test):
        """Subtract from each column its own mean"""
        return (train - train.mean()) / train.std(), (test - train.mean()) / train.std()

    def wrong_variance(train, test):
        """Divide each column by its own standard deviation"""
        mean, var = train.mean(axis=0), train.var(axis=0)
        return (train - mean) / var, (test - mean) / var

    def wrong_nan(train, test):
        """a column that is the same everywhere becomes 0
        divide by 1 there"""
        mean, std = train.mean(axis=0), train.std(axis=0)
        return (train - mean) / std, (test - mean) / std

    def wrong_in_place(train, test):
        """argument number 1 is changed by the call"""
        mean, std = train.mean(axis=0), train.std(axis=0)
        train -= mean
        train /= std
        return train, (test - mean) / std

    def right_by_n(train, test):
        mean, std = train.mean(axis=0), train.std(axis=0, correction=0)
        std = std + (std == 0).double()
        return (train - mean) / std, (test - mean) / std

    def right_in_single_precision(train, test):
        train, test = train.float(), test.float()
        mean, std = train.mean(0), train.std(0)
        std[std == 0] = 1
        return (train - mean) / std, (test - mean) / std


def start(x):
    return tn.zeros(x.shape[1], 1, requires_grad=True), tn.zeros(1, requires_grad=True)


class fit:
    def wrong_gradients_kept(x, y, lr, steps):
        """every step uses the slopes of its own point
        forget the old gradients"""
        w, b = start(x)
        for _ in range(steps):
            mse_loss(x @ w + b, y).backward()
            with tn.no_grad():
                w -= lr * w.grad
                b -= lr * b.grad
        return w.detach(), b.detach()

    def wrong_uphill(x, y, lr, steps):
        """one step is lr times the slope, downhill
        The sign is flipped"""
        w, b = start(x)
        for _ in range(steps):
            mse_loss(x @ w + b, y).backward()
            with tn.no_grad():
                w += lr * w.grad
                b += lr * b.grad
            w.grad = b.grad = None
        return w.detach(), b.detach()

    def wrong_bias_stays(x, y, lr, steps):
        """b is wrong after one step
        the slopes are in w.grad and b.grad"""
        w, b = start(x)
        for _ in range(steps):
            mse_loss(x @ w + b, y).backward()
            with tn.no_grad():
                w -= lr * w.grad
            w.grad = b.grad = None
        return w.detach(), b.detach()

    def wrong_recorded(x, y, lr, steps):
        """it raised RuntimeError
        w -= lr * w.grad"""
        w, b = start(x)
        for _ in range(steps):
            mse_loss(x @ w + b, y).backward()
            w -= lr * w.grad
            b -= lr * b.grad
            w.grad = b.grad = None
        return w.detach(), b.detach()

    def wrong_one_step(x, y, lr, steps):
        """every step uses the slopes of its own point"""
        w, b = start(x)
        mse_loss(x @ w + b, y).backward()
        with tn.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
        return w.detach(), b.detach()

    def wrong_sum_of_squares(x, y, lr, steps):
        """w is wrong after one step
        a factor is missing or one too many"""
        w, b = start(x)
        for _ in range(steps):
            (x @ w + b - y).square().sum().backward()
            with tn.no_grad():
                w -= lr * w.grad
                b -= lr * b.grad
            w.grad = b.grad = None
        return w.detach(), b.detach()

    def right_with_an_optimizer(x, y, lr, steps):
        w, b = start(x)
        optimizer = tn.optim.SGD([w, b], lr=lr)
        for _ in range(steps):
            optimizer.zero_grad()
            mse_loss(x @ w + b, y).backward()
            optimizer.step()
        return w.detach(), b.detach()

    def right_by_hand(x, y, lr, steps):
        w, b = tn.zeros(x.shape[1], 1), tn.zeros(1)
        for _ in range(steps):
            error = 2 * (x @ w + b - y) / len(y)
            w, b = w - lr * x.T @ error, b - lr * error.sum()
        return w, b
