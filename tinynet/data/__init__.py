"""Data sets and loaders: PyTorch's `torch.utils.data`, `tn.data.transforms` and `tn.data.datasets`; and your own data:
tables (`read_csv`, `Table`), folders of images (`ImageFolder`), what makes them ready, and one file for either."""
from __future__ import annotations

from tinynet.data import datasets, transforms
from tinynet.data.collate import default_collate
from tinynet.data.dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from tinynet.data.folder import ImageFolder
from tinynet.data.loader import DataLoader
from tinynet.data.packed import pack, unpack
from tinynet.data.preprocessing import OneHotEncoder, StandardScaler
from tinynet.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from tinynet.data.table import Table, read_csv

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "IterableDataset",
    "OneHotEncoder",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StandardScaler",
    "Subset",
    "Table",
    "TensorDataset",
    "datasets",
    "default_collate",
    "pack",
    "random_split",
    "read_csv",
    "transforms",
    "unpack",
]
