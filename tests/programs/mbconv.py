"""Blocks of EfficientNet (Tan and Le 2019): depthwise convolution, squeeze-and-excitation, SiLU; on digits."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset


def conv_bn_act(inputs, outputs, kernel_size, stride=1, groups=1, act=True):
    layers = [
        nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.1),
    ]
    return nn.Sequential(*layers, nn.SiLU(inplace=True)) if act else nn.Sequential(*layers)


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.SiLU()

    def forward(self, x):
        scale = x.mean((2, 3), keepdim=True)
        return x * self.fc2(self.activation(self.fc1(scale))).sigmoid()


class MBConv(nn.Module):
    """The inverted residual: widen, filter each channel by itself, weigh the channels, narrow."""

    def __init__(self, inputs, outputs, expand=3, kernel_size=3, stride=1):
        super().__init__()
        hidden = inputs * expand
        self.use_residual = stride == 1 and inputs == outputs
        self.block = nn.Sequential(
            conv_bn_act(inputs, hidden, 1),
            conv_bn_act(hidden, hidden, kernel_size, stride, groups=hidden),
            SqueezeExcitation(hidden, max(1, inputs // 4)),
            conv_bn_act(hidden, outputs, 1, act=False),
        )

    def forward(self, x):
        return x + self.block(x) if self.use_residual else self.block(x)


def build():
    network = nn.Sequential(
        conv_bn_act(1, 8, 3),
        MBConv(8, 8),
        MBConv(8, 12, kernel_size=5, stride=2),
        MBConv(12, 12),
        conv_bn_act(12, 64, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return (network,)


def train(model, rng):
    bunch = load_digits()
    images = torch.tensor(bunch.images[:, None] / 16, dtype=torch.float32)
    labels = torch.tensor(bunch.target)
    order = rng.permutation(1280).tolist()
    loader = DataLoader(TensorDataset(images[:1280], labels[:1280]), batch_size=64, sampler=order)
    epochs = 3
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    scheduler = OneCycleLR(optimizer, max_lr=1e-2, total_steps=epochs * len(loader))
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())

    model.eval()
    with torch.no_grad():
        accuracy = (model(images[1280:]).argmax(1) == labels[1280:]).float().mean()
    return losses, accuracy.item()
