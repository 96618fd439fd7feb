"""A Wasserstein GAN with gradient penalty (Gulrajani et al. 2017) that learns eight points on a circle."""

import math

import numpy as np
import torch
from torch import autograd, nn

BATCH, PENALTY, CRITIC_STEPS = 128, 1.0, 4
CENTRES = torch.tensor([[math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)] for k in range(8)])


def mlp(inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, outputs)
    )  # fmt: skip


def build():
    return mlp(4, 2), mlp(2, 1)


def gradient_penalty(critic, real, fake, epsilon):
    """How far from 1 the critic's slope is between real and made points."""
    between = (epsilon * real + (1 - epsilon) * fake).requires_grad_(True)
    scores = critic(between)
    (slope,) = autograd.grad(
        outputs=scores, inputs=between, grad_outputs=torch.ones_like(scores), create_graph=True, retain_graph=True
    )
    return ((slope.norm(2, dim=1) - 1) ** 2).mean()


def train(generator, critic, rng):
    def normal(*shape):
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    optimizer_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    optimizer_c = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.9))
    losses = []
    for _ in range(150):
        for _ in range(CRITIC_STEPS):
            real = CENTRES[rng.integers(8, size=BATCH)] + 0.05 * normal(BATCH, 2)
            fake = generator(normal(BATCH, 4)).detach()
            epsilon = torch.from_numpy(rng.random((BATCH, 1), dtype=np.float32))
            penalty = gradient_penalty(critic, real, fake, epsilon)
            loss_c = critic(fake).mean() - critic(real).mean() + PENALTY * penalty
            optimizer_c.zero_grad()
            loss_c.backward()
            optimizer_c.step()

        loss_g = -critic(generator(normal(BATCH, 4))).mean()
        optimizer_g.zero_grad()
        loss_g.backward()
        optimizer_g.step()
        losses.append((penalty.item(), loss_c.item(), loss_g.item()))

    with torch.no_grad():
        distances = (generator(normal(1000, 4)).unsqueeze(1) - CENTRES).norm(dim=-1)
        near, which = distances.min(dim=1)
        covered = torch.bincount(which[near < 0.3], minlength=8) > 20
    return losses, covered.float().mean().item()
