"""Knowledge distillation (Hinton, Vinyals and Dean 2015): a small network learns from a large one's soft answers."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset

TEMPERATURE, ALPHA = 4.0, 0.9


class Digits(Dataset):
    def __init__(self, train):
        bunch, part = load_digits(), slice(1400) if train else slice(1400, None)
        self.images = torch.tensor(bunch.data[part] / 16, dtype=torch.float32)
        self.labels = torch.tensor(bunch.target[part])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


def mlp(width):
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def build():
    return mlp(128), mlp(32)


def distillation_loss(student_logits, teacher_logits, labels):
    soft = F.kl_div(
        F.log_softmax(student_logits / TEMPERATURE, dim=1),
        F.softmax(teacher_logits / TEMPERATURE, dim=1),
        reduction="batchmean",
    )
    hard = F.cross_entropy(student_logits, labels)
    return ALPHA * TEMPERATURE**2 * soft + (1 - ALPHA) * hard


@torch.no_grad()
def accuracy(model, dataset):
    model.eval()
    return (model(dataset.images).argmax(dim=1) == dataset.labels).float().mean().item()


def fit(model, dataset, rng, epochs, loss_fn):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=1e-4)
    scheduler = StepLR(optimizer, step_size=epochs // 2, gamma=0.2)
    losses = []
    for _ in range(epochs):
        model.train()
        for images, labels in DataLoader(dataset, batch_size=70, sampler=rng.permutation(len(dataset)).tolist()):
            optimizer.zero_grad()
            loss = loss_fn(images, model(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
    return losses


def train(teacher, student, rng):
    digits = Digits(train=True)
    of_teacher = fit(teacher, digits, rng, 12, lambda _, logits, labels: F.cross_entropy(logits, labels))

    teacher.eval().requires_grad_(False)
    of_student = fit(student, digits, rng, 12, lambda images, logits, labels: distillation_loss(
        logits, teacher(images), labels))  # fmt: skip
    return np.stack([of_teacher, of_student], axis=1), accuracy(student, Digits(train=False))
