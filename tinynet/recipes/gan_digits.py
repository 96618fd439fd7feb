"""Digits that nobody has written: two networks against one another: `tinynet train gan-digits`.

The generator makes images of noise; the discriminator is shown these and real ones, and says which are real. Each has
an optimizer of its own: one is for telling them apart, the other for not being caught. Goodfellow et al. 2014; the
layers are those of Radford, Metz and Chintala 2015 (DCGAN).

That it learns, a third network says, which reads digits: the score is exp(mean of KL(p(digit | image) | p(digit))), 1
if it sees the same in all images, 10 if each is clearly a digit, and each digit as frequent (Salimans et al. 2016).
"""
from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

import tinynet as tn
from tinynet import nn
from tinynet.metrics import to_numpy
from tinynet.nn import functional as F
from tinynet.recipes import Recipe, Run, digits_cnn

NOISE = 16
JUDGED = 1000  # images, for the score
SHOWN = 64
LESSONS = 6  # epochs in which the judge learns to read


def data(run: Run) -> tuple[Any, Any]:
    """8 x 8 pixels, from -1 (paper) to 1 (ink)."""
    digits = (tn.data.datasets.digits(train=chosen).tensors for chosen in (True, False))
    train_set, test_set = (tn.data.TensorDataset(images * 2 - 1, labels) for images, labels in digits)
    return train_set, test_set


class Pair(nn.Module):
    """The two of them; called, it makes images of noise."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(  # 16 numbers -> 64 maps of 2 x 2 -> 32 of 4 x 4 -> an image of 8 x 8
            nn.ConvTranspose2d(NOISE, 64, kernel_size=2, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, kernel_size=4, stride=2, padding=1, bias=False),
            nn.Tanh(),
        )
        self.discriminator = nn.Sequential(  # an image -> 32 maps of 4 x 4 -> 64 of 2 x 2 -> a score: how real it is
            nn.Conv2d(1, 32, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 1, kernel_size=2),
            nn.Flatten(start_dim=0),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=0.05)

    def forward(self, noise: tn.Tensor) -> tn.Tensor:
        """N x 16 numbers -> N images."""
        return self.generator(noise[:, :, None, None])


def network(run: Run) -> Any:
    """Generator and discriminator."""
    return Pair()


def train(run: Run, train_set: Any, test_set: Any) -> tuple[Any, tn.History]:
    """In turns: a step to tell real from made, a step to be taken for real. Neither loss says how far they are: they
    stay in balance while both become better."""
    model, history = run.network(), tn.History()
    generator, discriminator = model.generator, model.discriminator
    optimizer_g = tn.optim.Adam(generator.parameters(), lr=run.lr, betas=(0.5, 0.999))
    optimizer_d = tn.optim.Adam(discriminator.parameters(), lr=run.lr / 2, betas=(0.5, 0.999))
    judge = read_by(run)
    began, run.trained = time.perf_counter(), model
    for epoch in range(run.epochs):
        losses = []
        model.train()
        for real, _ in tn.data.DataLoader(train_set, run.batch_size, shuffle=True, drop_last=True):
            real, ones = real.to(run.device), tn.ones(len(real), device=run.device)
            fake = model(tn.randn(len(real), NOISE, device=run.device))

            optimizer_d.zero_grad()
            loss_d = (F.binary_cross_entropy_with_logits(discriminator(real), 0.9 * ones)
                      + F.binary_cross_entropy_with_logits(discriminator(fake.detach()), 0 * ones))
            loss_d.backward()
            optimizer_d.step()

            optimizer_g.zero_grad()
            loss_g = F.binary_cross_entropy_with_logits(discriminator(fake), ones)
            loss_g.backward()
            optimizer_g.step()
            losses.append((loss_d.item(), loss_g.item()))
        if not losses:
            raise ValueError(f"there are {len(train_set):,} images to train with, no whole batch of {run.batch_size:,}")
        loss_d, loss_g = np.mean(losses, 0).tolist()
        logs = {"discriminator_loss": loss_d, "generator_loss": loss_g, "score": score(judge(made(run, model, JUDGED)))}
        history.append(epoch, logs)
        run.say(f"epoch {epoch + 1}/{run.epochs}: " + ", ".join(f"{name} {value:.3f}" for name, value in logs.items()))
    run.seconds = time.perf_counter() - began
    return model, history


def made(run: Run, model: Any, count: int) -> tn.Tensor:
    """Images of the same noise at every time."""
    noise = tn.randn(count, NOISE, generator=tn.Generator().manual_seed(run.seed))
    with tn.no_grad():
        return model.eval()(noise.to(run.device)).cpu()


def read_by(run: Run) -> Any:
    """A function from images to the probabilities of the digits: that of a network that has learned to read them."""
    state = tn.get_rng_state()
    tn.manual_seed(0)  # the same judge for all
    judge, (train_set, test_set) = digits_cnn.network(run), digits_cnn.data(run)
    optimizer = tn.optim.Adam(judge.parameters(), lr=3e-3)
    trainer = tn.Trainer(judge, tn.nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    trainer.fit(train_set, epochs=LESSONS, batch_size=32, verbose=False)
    run.say(f"the judge reads {trainer.evaluate(test_set)['accuracy']:.1%} of the digits that it has not seen")
    tn.set_rng_state(state)

    def probabilities(images: tn.Tensor) -> Any:
        with tn.no_grad():
            return to_numpy(F.softmax(judge.eval()((images + 1) / 2), 1)).astype(np.float64)

    return probabilities


def score(p: Any) -> float:
    """exp(mean of KL(p(digit | image) | p(digit))), of a row of probabilities for each image."""
    return math.exp(np.mean(np.sum(p * (np.log(p + 1e-12) - np.log(p.mean(0) + 1e-12)), 1)))


def measure(run: Run, model: Any, test_set: Any) -> dict[str, float]:
    """The score of what is made, beside those of real digits and of an untrained generator; and a picture."""
    judge, images = read_by(run), made(run, model, JUDGED)
    p = judge(images)
    blank = made(run, run.network(), JUDGED)
    judged = {"real": judge(test_set.tensors[0]), "made": p, "untrained": judge(blank)}
    run.show("comparison", [{"images": name, "score": score(q), "sure": float(q.max(1).mean())}
                            for name, q in judged.items()])
    frequent = np.bincount(p.argmax(1), minlength=10)
    run.show("digits made", [{"digit": digit, "of 1000": int(count)} for digit, count in enumerate(frequent)])
    figure = run.figure(8, 8)
    tn.viz.plot_images(images[:SHOWN], ax=figure.subplots(8, 8))
    run.picture("made", figure)
    noise = tn.randn(JUDGED, NOISE, generator=tn.Generator().manual_seed(run.seed))
    run.predict(model, tn.data.TensorDataset(noise, noise))  # for the time
    return {"score": score(p), "sure": float(p.max(1).mean())}


RECIPE = Recipe(data=data, network=network, train=train, measure=measure, source="digits",
                epochs=60, batch_size=32, lr=2e-3, examples=["gan-digits --epochs 120 --seed 1"])
