"""A variational autoencoder of handwritten digits (Kingma and Welling 2014)."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LATENT = 8


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU())
        self.mu = nn.Linear(128, LATENT)
        self.log_var = nn.Linear(128, LATENT)
        self.decoder = nn.Sequential(nn.Linear(LATENT, 128), nn.ReLU(), nn.Linear(128, 64), nn.Unflatten(1, (1, 8, 8)))

    def forward(self, x, noise):
        h = self.encoder(x)
        mu, log_var = self.mu(h), self.log_var(h)
        z = mu + noise * torch.exp(0.5 * log_var)
        return self.decoder(z), mu, log_var


def loss_fn(logits, x, mu, log_var):
    """The negative evidence lower bound of an image."""
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    divergence = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
    return (reconstruction + divergence) / x.size(0)


def build():
    return (VAE(),)


def train(model, rng):
    images = torch.tensor(load_digits().images[:, None] / 16, dtype=torch.float32)
    train_set, test_images = TensorDataset(images[:1500]), images[1500:]
    loader = DataLoader(train_set, batch_size=100, sampler=rng.permutation(1500).tolist(), drop_last=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        model.train()
        for (x,) in loader:
            noise = torch.from_numpy(rng.standard_normal((len(x), LATENT), dtype=np.float32))
            logits, mu, log_var = model(x, noise)
            loss = loss_fn(logits, x, mu, log_var)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    model.eval()
    with torch.no_grad():
        logits, _, _ = model(test_images, torch.zeros(len(test_images), LATENT))
        error = F.mse_loss(logits.sigmoid(), test_images)
        explained = 1 - error / (test_images - images[:1500].mean(0)).square().mean()
    return losses, explained.item()
