"""VGG-11 with batch norm (Simonyan and Zisserman 2014), an eighth as wide, on digits drawn four times as large."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR

WIDTHS = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]
NARROWER = 8


class VGG(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.features = self._make_layers(WIDTHS)
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(512 // NARROWER, 64), nn.ReLU(True), nn.Linear(64, num_classes)
        )
        self._initialize_weights()

    @staticmethod
    def _make_layers(widths):
        layers, channels = [], 1
        for width in widths:
            if width == "M":
                layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
            else:
                width //= NARROWER
                conv = nn.Conv2d(channels, width, kernel_size=3, padding=1)
                layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                channels = width
        return nn.Sequential(*layers)

    def _initialize_weights(self):
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                nn.init.constant_(m.bias, 0)

    def forward(self, x):
        return self.classifier(self.features(x))


def build():
    """In double precision: which of two nearly equal pixels a max pool takes would else be decided by rounding, and no
    two runs of so deep a pile of them would stay together for twenty steps."""
    return (VGG().double(),)


def train(model, rng):
    bunch = load_digits()
    images = np.kron(bunch.images[:, None] / 8 - 1, np.ones((4, 4)))
    images += 0.2 * rng.standard_normal(images.shape)
    labels = bunch.target
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    scheduler = MultiStepLR(optimizer, milestones=[30, 36], gamma=0.1)
    losses = []
    for _ in range(40):
        batch = rng.integers(1400, size=32)
        inputs, targets = torch.from_numpy(images[batch]), torch.from_numpy(labels[batch])
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())

    model.eval()
    with torch.no_grad():
        predicted = model(torch.from_numpy(images[1400:])).max(dim=1).indices
    return losses, (predicted.numpy() == labels[1400:]).mean()
