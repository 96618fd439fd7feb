"""A DCGAN of handwritten digits (Radford, Metz and Chintala 2015), at a quarter of its size."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

NOISE, BATCH = 16, 32


def weights_init(module):
    name = type(module).__name__
    if "Conv" in name:
        nn.init.normal_(module.weight, 0.0, 0.05)
    elif "BatchNorm" in name:
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def build():
    """In double precision: two networks that chase one another amplify the rounding of single within twenty steps."""
    generator = nn.Sequential(
        nn.ConvTranspose2d(NOISE, 64, kernel_size=2, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(32, 1, kernel_size=4, stride=2, padding=1, bias=False),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(1, 32, kernel_size=4, stride=2, padding=1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(32, 64, kernel_size=4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(64, 1, kernel_size=2, bias=False),
        nn.Flatten(start_dim=0),
    )
    return generator.apply(weights_init).double(), discriminator.apply(weights_init).double()


def train(generator, discriminator, rng):
    images = torch.tensor(load_digits().images[:, None] / 8 - 1)
    criterion = nn.BCEWithLogitsLoss()
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=5e-4, betas=(0.5, 0.999))
    zeros, ones = torch.zeros(BATCH, dtype=torch.float64), torch.ones(BATCH, dtype=torch.float64)
    losses = []
    for _ in range(120):
        real = images[rng.integers(len(images), size=BATCH)]
        noise = torch.from_numpy(rng.standard_normal((BATCH, NOISE, 1, 1)))
        fake = generator(noise)

        discriminator.zero_grad()
        loss_d = criterion(discriminator(real), 0.9 * ones) + criterion(discriminator(fake.detach()), zeros)
        loss_d.backward()
        optimizer_d.step()

        generator.zero_grad()
        loss_g = criterion(discriminator(fake), ones)
        loss_g.backward()
        optimizer_g.step()
        losses.append((loss_d.item(), loss_g.item()))

    with torch.inference_mode():
        noise = torch.from_numpy(rng.standard_normal((512, NOISE, 1, 1)))
        made = generator(noise)
    correlation = np.corrcoef(made.mean(0).flatten().numpy(), images.mean(0).flatten().numpy())[0, 1]
    return losses, correlation.item()
