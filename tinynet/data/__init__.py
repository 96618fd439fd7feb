"""Data sets and loaders: PyTorch's `torch.utils.data`, `tn.data.transforms` and `tn.data.datasets`."""
from __future__ import annotations

from tinynet.data import datasets, transforms
from tinynet.data.collate import default_collate
from tinynet.data.dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from tinynet.data.loader import DataLoader
from tinynet.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "datasets",
    "default_collate",
    "random_split",
    "transforms",
]
