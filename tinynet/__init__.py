"""tinynet: deep learning in code short enough to read, whose every gradient is proved on your machine.

    import tinynet as tn
"""
import warnings as _warnings

from tinynet import autograd, data, metrics, nn, optim, testing, viz
from tinynet.autograd import enable_grad, gradcheck, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from tinynet.device import device
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
from tinynet.ops import *  # noqa: F403 - the names in its __all__
from tinynet.ops import __all__ as _ops
from tinynet.ops import linalg
from tinynet.ops.sampling import get_rng_state, set_rng_state
from tinynet.random import Generator, manual_seed
from tinynet.tensor import Tensor

__version__ = "0.1.0"
__all__ = [
    "Generator", "Tensor", "autograd", "bool", "data", "device", "double", "enable_grad", "float", "float16", "float32",
    "float64", "get_default_dtype", "get_rng_state", "gradcheck", "half", "inference_mode", "int", "int8", "int16",
    "int32", "int64", "is_grad_enabled", "linalg", "long", "manual_seed", "metrics", "nn", "no_grad", "optim",
    "set_default_dtype", "set_grad_enabled", "set_rng_state", "short", "testing", "uint8", "use_kernels", "viz", *_ops,
]

# PyTorch says nothing where a result is nan or inf; so do we, and NumPy's own warnings elsewhere stay as they are
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"tinynet\.")
