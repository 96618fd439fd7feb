"""tinynet: deep learning in code short enough to read, whose every gradient is proved on your machine.

    import tinynet as tn
"""
import warnings as _warnings
from collections.abc import Callable as _Callable
from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from tinynet import autograd, compress, cuda, data, io, metrics, mistakes, nn, onnx, optim, testing, viz
from tinynet.autograd import enable_grad, gradcheck, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from tinynet.callbacks import Callback, CSVLogger, EarlyStopping, LambdaCallback, ModelCheckpoint
from tinynet.chain_rule import explain
from tinynet.checkpoint import load, save
from tinynet.cuda.precision import set_precision
from tinynet.device import device
from tinynet.doctor import doctor
from tinynet.dtypes import bool_ as bool
from tinynet.dtypes import (
    double,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    int8,
    int16,
    int32,
    int64,
    long,
    set_default_dtype,
    short,
    uint8,
)
from tinynet.dtypes import float_ as float
from tinynet.dtypes import int_ as int
from tinynet.kernels import use_kernels
from tinynet.kernels.cpu.threads import get_num_threads, set_num_threads
from tinynet.model_summary import summary
from tinynet.ops import *  # noqa: F403 - the names in its __all__
from tinynet.ops import __all__ as _ops
from tinynet.ops import linalg
from tinynet.ops.sampling import get_rng_state, set_rng_state
from tinynet.profiler import profile
from tinynet.random import Generator, manual_seed
from tinynet.tally import History
from tinynet.tensor import Tensor
from tinynet.trainer import Trainer

__version__ = "0.1.0"
__all__ = [
    "CSVLogger", "Callback", "EarlyStopping", "Generator", "History", "LambdaCallback", "ModelCheckpoint", "Tensor",
    "Trainer", "autograd", "bool", "check", "compress", "cuda", "data", "device", "doctor", "double", "enable_grad",
    "exercise", "explain", "float", "float16", "float32", "float64", "get_default_dtype", "get_num_threads",
    "get_rng_state", "gradcheck", "half", "inference_mode", "int", "int16", "int32", "int64", "int8", "io",
    "is_grad_enabled", "learn", "linalg", "load", "long", "manual_seed", "metrics", "mistakes", "nn", "no_grad", "onnx",
    "optim", "profile", "save", "set_default_dtype", "set_grad_enabled", "set_num_threads", "set_precision",
    "set_rng_state", "short", "summary", "testing", "uint8", "use", "use_kernels", "viz", *_ops,
]

# what the lessons use is loaded by them
learn: _Any
check: _Callable[..., None]
exercise: _Callable[[str], _Callable[[_Any], _Any]]
use: _Any

if not _TYPE_CHECKING:  # for a type checker any name at all would be there
    def __getattr__(name: str) -> _Any:
        if name in ("learn", "check", "exercise", "use"):
            learn = _import_module("tinynet.learn")
            return learn if name == "learn" else getattr(learn, name)
        raise AttributeError(f"module 'tinynet' has no attribute {name!r}")

# PyTorch says nothing where a result is nan or inf; so do we, and NumPy's own warnings elsewhere stay as they are
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"tinynet\.")
