"""ResNet-20, whose layers learn what to add, on small photographs: `tinynet train cifar-resnet`.

K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", 2016, section 4.2: twenty layers,
0.27 million parameters, 91 % on all of CIFAR-10 after 160 epochs. A step costs seven times that of cifar-cnn.
"""
from __future__ import annotations

from itertools import pairwise
from typing import Any

import tinynet as tn
from tinynet.nn import functional as F
from tinynet.recipes import Recipe, Run, classification
from tinynet.recipes.cifar_cnn import augmented, data


class Block(tn.nn.Module):
    """x + conv(relu(conv(x))): two layers that learn by how much x should be another.

    A block with more maps than its input has them at half the side; x is then taken at every second pixel, and the new
    maps begin at zero, so that the shortcut has no parameters (option A of the paper)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.new, self.stride = outputs - inputs, 1 if inputs == outputs else 2
        self.conv1 = tn.nn.Conv2d(inputs, outputs, 3, self.stride, padding=1, bias=False)
        self.bn1 = tn.nn.BatchNorm2d(outputs)
        self.conv2 = tn.nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = tn.nn.BatchNorm2d(outputs)

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        """The input, and what the two layers add."""
        added = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.new:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.new))
        return F.relu(x + added)


def network(run: Run) -> Any:
    """32 x 32 colours -> 16 maps of 32 x 32 -> 32 of 16 x 16 -> 64 of 8 x 8, three blocks each; the 64 means -> 10
    scores."""
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    model = tn.nn.Sequential(
        tn.nn.Conv2d(3, 16, 3, padding=1, bias=False), tn.nn.BatchNorm2d(16), tn.nn.ReLU(),
        *(Block(*pair) for pair in pairwise(widths)),
        tn.nn.AdaptiveAvgPool2d(1), tn.nn.Flatten(), tn.nn.Linear(64, 10))
    for layer in model.modules():
        if isinstance(layer, tn.nn.Conv2d):
            tn.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model


def train(run: Run, train_set: Any, test_set: Any) -> tuple[Any, tn.History]:
    """As in the paper: SGD with momentum, whose step size is a tenth after half of the epochs, and a hundredth after
    three quarters. The test images decide nothing."""
    model = run.network()
    optimizer = tn.optim.SGD(model.parameters(), lr=run.lr, momentum=0.9, weight_decay=1e-4)
    drops = tn.optim.lr_scheduler.MultiStepLR(optimizer, [max(run.epochs // 2, 1), max(run.epochs * 3 // 4, 1)])
    trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], scheduler=drops,
                         device=run.device)
    history = trainer.fit(augmented(run, train_set), epochs=run.epochs, validation_data=test_set,
                          callbacks=run.callbacks)
    return model, history


RECIPE = Recipe(data=data, network=network, train=train, measure=classification, source="cifar10",
                epochs=30, batch_size=128, lr=0.1, examples=["cifar-resnet --epochs 160", "cifar-resnet --device cuda"])
