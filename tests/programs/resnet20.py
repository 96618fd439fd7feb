"""ResNet-20 (He et al. 2015) on the binary records of CIFAR-10."""

import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import ConstantLR
from torch.utils.data import BatchSampler, DataLoader, Dataset

MEAN, STD = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1), torch.tensor([0.247, 0.2435, 0.2616]).view(3, 1, 1)


class Records(Dataset):
    """A file of records of 3,073 bytes: the label, then 32 x 32 red, green and blue ones. Without the file, records of
    coarse patterns under noise."""

    def __init__(self, path, count, rng):
        if path.exists():
            records = np.fromfile(path, np.uint8, count * 3073).reshape(count, 3073)
        else:
            labels = rng.integers(10, size=(count, 1))
            patterns = np.kron(np.random.default_rng(0).random((10, 3, 4, 4)), np.ones((8, 8))).reshape(10, 3072)
            records = np.hstack([labels, 170 * patterns[labels[:, 0]] + 85 * rng.random((count, 3072))]).astype("uint8")
        self.labels = torch.from_numpy(records[:, 0].astype("int64"))
        images = torch.from_numpy(records[:, 1:].reshape(count, 3, 32, 32)).float() / 255
        self.images = F.avg_pool2d((images - MEAN) / STD, 2)  # at half the resolution, for speed

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


class BasicBlock(nn.Module):
    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.wider = stride, planes - in_planes

    def shortcut(self, x):
        """The identity; where the block is narrower or finer, every other pixel, and channels of zeros."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.wider)) if self.wider else x

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, blocks=3, num_classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._make_layer(16, 16, blocks, stride=1)
        self.layer2 = self._make_layer(16, 32, blocks, stride=2)
        self.layer3 = self._make_layer(32, 64, blocks, stride=2)
        self.linear = nn.Linear(64, num_classes)
        self.apply(self._initialize)

    @staticmethod
    def _initialize(module):
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)

    @staticmethod
    def _make_layer(in_planes, planes, blocks, stride):
        first = BasicBlock(in_planes, planes, stride)
        return nn.Sequential(first, *(BasicBlock(planes, planes) for _ in range(blocks - 1)))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        out = F.adaptive_avg_pool2d(out, 1).flatten(1)
        return self.linear(out)


def build():
    return (ResNet(),)


def train(model, rng):
    folder = Path(os.environ.get("TINYNET_DATA", "")) / "cifar-10-batches-bin"
    train_set, test_set = Records(folder / "data_batch_1.bin", 1920, rng), Records(folder / "test_batch.bin", 500, rng)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    warm_up = ConstantLR(optimizer, factor=0.02, total_iters=20)
    losses = []
    for _ in range(3):
        model.train()
        batches = BatchSampler(rng.permutation(len(train_set)).tolist(), batch_size=32, drop_last=True)
        for images, labels in DataLoader(train_set, batch_sampler=batches):
            flipped = torch.from_numpy(rng.random(len(images)) < 0.5)
            images = torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            warm_up.step()
            losses.append(loss.item())

    model.eval()
    correct = 0
    with torch.no_grad():
        for images, labels in DataLoader(test_set, batch_size=100):
            correct += (model(images).argmax(dim=1) == labels).sum().item()
    return losses, correct / len(test_set)
