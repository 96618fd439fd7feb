"""Style transfer (Gatys, Ecker and Bethge 2015): an image is optimised to show one image in the texture of another."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR

STYLE_LAYERS, CONTENT_LAYER = ("0", "3", "6"), "6"


def build():
    """Random features are enough for texture (Ustyuzhaninov et al. 2016)."""
    features = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(16, 24, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(24, 32, 3, padding=1, padding_mode="reflect"),
    )  # fmt: skip
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.orthogonal_(module.weight)
    return (features.requires_grad_(False),)


def pictures(size=32):
    """A disc, and diagonal stripes of three colours."""
    y, x = np.mgrid[0:size, 0:size] / size
    disc = np.hypot(x - 0.5, y - 0.5) < 0.3
    stripes = np.stack([np.sin((x + y) * 40 + phase) for phase in (0.0, 2.1, 4.2)]) / 2 + 0.5
    content = np.where(disc, [[[0.9]], [[0.8]], [[0.2]]], [[[0.1]], [[0.3]], [[0.6]]])
    return (torch.tensor(image[None], dtype=torch.float32) for image in (content, stripes))


def gram_matrix(features):
    batch, channels, height, width = features.size()
    flat = features.view(batch, channels, height * width)
    return flat.bmm(flat.transpose(1, 2)).div(channels * height * width)


def total_variation(image):
    return (image[..., 1:] - image[..., :-1]).abs().mean() + (image[..., 1:, :] - image[..., :-1, :]).abs().mean()


def train(features, rng):
    content, style = pictures()
    seen = {}
    for name, module in features.named_children():
        module.register_forward_hook(lambda _module, _args, output, name=name: seen.update({name: output}))

    def responses(image):
        features((image - 0.5) / 0.25)
        return dict(seen)

    wanted_content = responses(content)[CONTENT_LAYER]
    wanted_style = {name: gram_matrix(out) for name, out in responses(style).items() if name in STYLE_LAYERS}

    image = content + 0.05 * torch.from_numpy(rng.standard_normal(tuple(content.shape), dtype=np.float32))
    image.requires_grad_(True)
    optimizer = torch.optim.Adam([image], lr=0.03)
    scheduler = ExponentialLR(optimizer, gamma=0.99)
    losses = []
    for _ in range(120):
        found = responses(image)
        content_loss = F.mse_loss(found[CONTENT_LAYER], wanted_content)
        style_loss = sum(F.mse_loss(gram_matrix(found[name]), gram) for name, gram in wanted_style.items())
        loss = content_loss + 100 * style_loss + 0.1 * total_variation(image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        with torch.no_grad():
            image.clamp_(0, 1)
        losses.append((content_loss.item(), style_loss.item()))
    return losses, 1 - losses[-1][1] / losses[0][1]
