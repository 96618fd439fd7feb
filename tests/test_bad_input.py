"""What constructors and calls say of bad input: PyTorch's type of error, and a message with the figures and a remedy.

A case is a row of the table: what is wrong, the call (`t` is tinynet, then PyTorch), the error, and its text, in which
` .. ` stands for anything. A note at the end of a row says that we differ from PyTorch on purpose.
"""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from itertools import product

import pytest

import tinynet as tn

UNEQUAL = "PyTorch broadcasts, with a warning, or says RuntimeError where it cannot"


def case(name, call, error, text, differs=None):
    pattern = ".*".join(map(re.escape, text.split(" .. ")))
    return pytest.param(call, error, pattern, differs, id=name)


# ---- to make the calls
def F(t):
    return t.nn.functional


def data(t):
    return t.data if t is tn else t.utils.data


def schedules(t):
    return t.optim.lr_scheduler


def prune(t):
    return importlib.import_module(f"{t.__name__}.nn.utils.prune")


def leaf(t, *shape):
    return t.ones(shape or (2,), requires_grad=True)


def image(t, channels=3):
    return t.zeros(1, channels, 8, 8)


def encoder(t):
    return t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(4, 2), 1)


def backward_twice(t):
    y = (leaf(t) ** 2).sum()
    y.backward()
    y.backward()


def saved_then_changed(t):
    y = leaf(t) * 1
    z = (y * y).sum()
    y.add_(1)
    z.backward()


def function(t, backward):
    """An autograd.Function that doubles, with this backward."""
    members = {"forward": staticmethod(lambda ctx, x: x * 2), "backward": staticmethod(backward)}
    return type("Double", (t.autograd.Function,), members)


def early(t, act):
    """A module that does something before super().__init__()."""
    return type("Early", (t.nn.Module,), {"__init__": act})()


def hooked(t, kind, hook, **options):
    layer = t.nn.Linear(2, 3)
    getattr(layer, f"register_{kind}_hook")(hook, **options)
    layer(leaf(t)).sum().backward()


def clipped(t, gradient, **options):
    x = leaf(t)
    x.grad = gradient
    t.nn.utils.clip_grad_norm_([x], 1.0, **options)


def sgd(t):
    return t.optim.SGD([leaf(t)], lr=0.1, momentum=0.9)


def stepped(t, schedule, times=1):
    optimizer = sgd(t)
    scheduler = schedule(optimizer)
    for _ in range(times):
        optimizer.step()
        scheduler.step()


def sequence(t, optimizer, of=None, milestones=()):
    return schedules(t).SequentialLR(optimizer, [schedules(t).ConstantLR(of or optimizer)], [*milestones])


def states(t):
    return t.zeros(1, 4, 3), t.zeros(1, 4, 3)


def attend(t, size=4, values=3, **options):
    """Attention of three vectors to themselves, by a module for vectors of size 4."""
    x = t.zeros(3, 1, size)
    t.nn.MultiheadAttention(4, 2)(x, x, x[:values], **options)


def attention(t, keys=4, **options):
    x = t.zeros(2, 3, 4)
    F(t).scaled_dot_product_attention(x, t.zeros(2, 3, keys), x, **options)


def parameter(t):
    return t.nn.Parameter(t.ones(1))


# fmt: off
CASES = [
    # ---- making tensors
    case("a ragged list", lambda t: t.tensor([[1, 2], [3]]),
         ValueError, "expected sequence of length 2 at dim 1 (got 1)"),
    case("a tensor of text", lambda t: t.tensor("abc"),
         TypeError, "a tensor holds real numbers: invalid data 'abc' of type str"),
    case("a tensor of objects", lambda t: t.tensor([object()]), RuntimeError, "Could not infer dtype of object"),
    case("a dtype that is none", lambda t: t.zeros(2, dtype="colour"),
         TypeError, "'colour' is no dtype of tinynet; there are .. uint8, int16, int32, int64, bool"),
    case("a negative size", lambda t: t.zeros(2, -1),
         RuntimeError, "zeros: Trying to create tensor with negative dimension -1: [2, -1]"),
    case("a size that is text", lambda t: t.zeros("3"),
         TypeError, "zeros(): argument 'size' must be of ints, not '3' of type str"),
    case("integers that require grad", lambda t: t.tensor([1], requires_grad=True),
         RuntimeError, "only Tensors of floating point dtype can require .. convert it first, e.g. x.float()"),
    case("arange: step 0", lambda t: t.arange(0, 5, 0), RuntimeError, "step must be nonzero"),
    case("arange: the wrong way", lambda t: t.arange(5, 0, 1),
         RuntimeError, "upper bound and lower bound inconsistent with step sign: 5, 0, 1"),
    case("from_numpy: a list", lambda t: t.from_numpy([1]), TypeError, "expected np.ndarray (got list)"),
    case("meshgrid: a matrix", lambda t: t.meshgrid(t.ones(2, 2), indexing="ij"),
         RuntimeError, "meshgrid: Expected 0D or 1D tensors but got one of shape [2, 2]"),
    case("an integer as default dtype", lambda t: t.set_default_dtype(t.int64),
         TypeError, "only floating-point types are supported as the default type, not int64"),
    case("an unknown device", lambda t: t.zeros(2, device="tpu"),
         RuntimeError, "Expected one of cpu, cuda device type at start of device string: tpu"),
    case("a device that is not there", lambda t: t.zeros(2).to("cuda:99"),
         RuntimeError, "device 'cuda:99'", "PyTorch: AssertionError"),
    # ---- random numbers
    case("randint: an empty range", lambda t: t.randint(5, 5, (2,)),
         RuntimeError, "random_ expects 'from' to be less than 'to', but got from=5 >= to=5"),
    case("normal: negative std", lambda t: t.normal(0.0, -1.0, (2,)),
         RuntimeError, "normal expects std >= 0.0, but found std -1"),
    case("bernoulli: p", lambda t: t.bernoulli(t.tensor([1.5])),
         RuntimeError, "bernoulli expects p to be in [0, 1], but got p=1.5"),
    case("multinomial: too many", lambda t: t.multinomial(t.ones(3), 4),
         RuntimeError, "cannot sample n_sample > prob_dist.size(-1) samples without replacement: 4 of 3"),
    case("multinomial: negative weights", lambda t: t.multinomial(t.tensor([-1.0, 1.0]), 1),
         RuntimeError, "probability tensor contains either `inf`, `nan` or element < 0"),
    # ---- arithmetic
    case("add: shapes", lambda t: t.ones(2, 3) + t.ones(2, 4),
         RuntimeError, "add: The size of tensor a (3) must match the size .. the one that is missing an axis"),
    case("add: text", lambda t: t.ones(2) + "a", TypeError, "unsupported operand type(s) for +: 'Tensor' and 'str'"),
    case("add: None", lambda t: t.add(t.ones(2), None),
         TypeError, "add(): argument 'other' must be Tensor or number, not NoneType"),
    case("add: alpha", lambda t: t.tensor([1]).add(t.tensor([1]), alpha=0.5),
         RuntimeError, "For integral input tensors, argument alpha must not be a floating point number: 0.5"),
    case("& of floats", lambda t: t.ones(2) & t.ones(2),
         NotImplementedError, "bitwise_and is not implemented for float32 tensors"),
    case("~ of floats", lambda t: ~t.ones(2),
         TypeError, "~ (bitwise_not) is only implemented on integer and bool tensors, not on float32"),
    case("minus a bool", lambda t: -t.tensor([True]),
         RuntimeError, "neg is not supported for bool: use ~, ^ or logical_not(), or convert with .int()"),
    case("an integer to a negative power", lambda t: t.tensor([2]) ** -1,
         RuntimeError, "pow: Integers to negative integer powers are not allowed"),
    case("an integer divided by 0", lambda t: t.tensor([2]) // 0,
         RuntimeError, "ZeroDivisionError: an integer is divided by zero; .. to a float dtype for inf or nan"),
    case("clamp: no bounds", lambda t: t.ones(2).clamp(),
         RuntimeError, "clamp: At least one of 'min' or 'max' must not be None"),
    case("div: rounding_mode", lambda t: t.div(t.ones(2), 2, rounding_mode="up"),
         RuntimeError, "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found 'up'"),
    case("where: a condition of floats", lambda t: t.where(t.ones(2), 1.0, 2.0),
         RuntimeError, "where expected condition to be a boolean tensor, .. compare it, as in condition != 0"),
    case("where: one value", lambda t: t.where(t.tensor([True]), t.ones(1)),
         TypeError, "where() takes a condition alone, or condition, input and other"),
    case("float of several", lambda t: float(t.ones(2)),
         ValueError, "only one element tensors can be converted to Python scalars, this one has shape [2]"),
    case("int of none", lambda t: int(t.ones(0)),
         ValueError, "only one element tensors can be converted to Python scalars, this one has shape [0]"),
    case("bool of several", lambda t: bool(t.ones(2)),
         RuntimeError, "Boolean value of Tensor with more than one value is ambiguous; use .any() or .all()"),
    case("item of several", lambda t: t.ones(2).item(),
         RuntimeError, "a Tensor with 2 elements cannot be converted to Scalar"),
    case("a float as index of a list", lambda t: [1, 2][t.tensor(1.0)],
         TypeError, "only integer tensors of a single element can be converted to an index"),
    case("a method's unknown argument", lambda t: t.ones(2).sum(colour=1),
         TypeError, "sum() got an unexpected keyword argument 'colour'; it takes input, dim, keepdim, dtype"),
    case("a list for a tensor", lambda t: t.flatten([1.0, 2.0]),
         TypeError, "flatten(): argument 'input' must be Tensor, not list"),
    # ---- reductions
    case("sum: dim", lambda t: t.ones(2, 3).sum(dim=2),
         IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)"),
    case("sum: a dim twice", lambda t: t.ones(2, 3).sum(dim=(0, 0)),
         RuntimeError, "dim 0 appears multiple times in the list of dims [0, 0]"),
    case("max of nothing", lambda t: t.ones(0).max(),
         RuntimeError, "amax(): Expected reduction dim to be specified for input.numel() == 0: [0]"),
    case("max of nothing along a dim", lambda t: t.ones(0, 3).max(dim=0),
         IndexError, "max(): Expected reduction dim 0 to have non-zero size, not [0, 3]"),
    case("prod: two dims", lambda t: t.ones(2, 2).prod(dim=(0, 1)),
         TypeError, "prod(): argument 'dim' must be int, not tuple"),
    case("cumsum: no dim", lambda t: t.ones(3).cumsum(), TypeError, "cumsum() missing required argument: 'dim'"),
    case("topk: too many", lambda t: t.ones(3).topk(4),
         RuntimeError, "topk(): selected index k out of range: 4 of 3 elements along dim -1"),
    case("sort: dim", lambda t: t.ones(3).sort(1),
         IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 1)"),
    case("bincount: floats", lambda t: t.bincount(t.ones(2)),
         NotImplementedError, "bincount() counts integers, not float32: convert with .long()"),
    # ---- shapes
    case("reshape: sizes", lambda t: t.ones(2, 3).reshape(4, 2),
         RuntimeError, "shape '[4, 2]' is invalid for input of size 6, of shape [2, 3]"),
    case("reshape: nothing fits", lambda t: t.ones(2, 3).reshape(-1, 4),
         RuntimeError, "shape '[-1, 4]' is invalid for input of size 6, of shape [2, 3]"),
    case("reshape: two unknowns", lambda t: t.ones(2, 3).reshape(-1, -1),
         RuntimeError, "only one dimension can be inferred, but shape [-1, -1] has several sizes -1"),
    case("view: strides", lambda t: t.ones(2, 3).t().view(6),
         RuntimeError, "view size [6] is not compatible with input .. Use .reshape(...) instead"),
    case("flatten: order of dims", lambda t: t.ones(2, 3).flatten(1, 0),
         RuntimeError, "flatten(): start_dim 1 cannot come after end_dim 0"),
    case("unflatten: sizes", lambda t: t.ones(2, 6).unflatten(1, (2, 2)),
         RuntimeError, "unflatten: Provided sizes [2, 2] don't multiply .. in the input tensor of shape [2, 6]"),
    case("unsqueeze: dim", lambda t: t.ones(2).unsqueeze(3),
         IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 3)"),
    case("transpose: dim", lambda t: t.ones(2, 3).transpose(0, 2),
         IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)"),
    case("t of a cube", lambda t: t.ones(2, 3, 4).t(),
         RuntimeError, "t() expects a tensor with <= 2 dimensions, but self is 3D; use transpose"),
    case("permute: too few", lambda t: t.ones(2, 3).permute(0),
         RuntimeError, "permute(): number of dimensions in the tensor .. input.dim() = 2, dims = [0]"),
    case("expand: sizes", lambda t: t.ones(2, 3).expand(4, 3),
         RuntimeError, "The expanded size of the tensor (4) must match .. [4, 3].  Tensor sizes: [2, 3]"),
    case("expand: too few", lambda t: t.ones(2, 3).expand(3),
         RuntimeError, "expand: the number of sizes provided (1) must be .. sizes: [3].  Tensor sizes: [2, 3]"),
    case("repeat: too few", lambda t: t.ones(2, 3).repeat(2),
         RuntimeError, "Number of dimensions of repeat dims can not be .. [2, 3]. tile() fills up with ones"),
    case("cat: sizes", lambda t: t.cat([t.ones(2, 3), t.ones(2, 4)]),
         RuntimeError, "Sizes of tensors must match except in dimension .. the list (shapes [2, 3] and [2, 4])"),
    case("cat: nothing", lambda t: t.cat([]), ValueError, "cat(): expected a non-empty list of Tensors"),
    case("cat: a tensor", lambda t: t.cat(t.ones(2)),
         TypeError, "cat(): argument 'tensors' must be tuple of Tensors, not Tensor"),
    case("stack: sizes", lambda t: t.stack([t.ones(2), t.ones(3)]),
         RuntimeError, "stack expects each tensor to be equal size, but got [2] at entry 0 and [3] at entry 1"),
    case("split: sizes", lambda t: t.ones(5).split([2, 2]),
         RuntimeError, "split_with_sizes expects split_sizes to sum .. 0), but got split_sizes=[2, 2]"),
    case("split: negative", lambda t: t.ones(5).split(-1),
         RuntimeError, "split expects split_size be non-negative, but got split_size=-1"),
    case("narrow: too long", lambda t: t.ones(5).narrow(0, 3, 4),
         RuntimeError, "start (3) + length (4) exceeds dimension size (5)"),
    case("select: index", lambda t: t.ones(5).select(0, 5),
         IndexError, "select(): index 5 out of range for tensor of size [5] at dimension 0"),
    case("diagonal: one dim twice", lambda t: t.ones(3, 3).diagonal(dim1=0, dim2=0),
         RuntimeError, "diagonal dimensions cannot be identical 0, 0"),
    # ---- indices
    case("an index out of range", lambda t: t.ones(3)[3],
         IndexError, "index 3 is out of bounds for dimension 0 with size 3"),
    case("an index array out of range", lambda t: t.ones(3)[t.tensor([0, 4])],
         IndexError, "index 4 is out of bounds for dimension 0 with size 3"),
    case("too many indices", lambda t: t.ones(3)[0, 0],
         IndexError, "too many indices for tensor of dimension 1: 2 for shape [3]"),
    case("an index with a fraction", lambda t: t.ones(3)[1.5],
         IndexError, "only integers, slices (`:`), ellipsis (`...`), .. are valid indices (got float)"),
    case("text as index", lambda t: t.ones(3)["a"],
         TypeError, "only integers, slices (`:`), ellipsis (`...`), .. tensors are valid indices (got str)"),
    case("a mask of another shape", lambda t: t.ones(3)[t.tensor([True, False])],
         IndexError, "The shape of the mask [2] at index 0 does not .. the indexed tensor [3] at index 0"),
    case("index arrays of two lengths", lambda t: t.ones(3, 3)[t.tensor([0, 1]), t.tensor([0, 1, 2])],
         IndexError, "shape mismatch: indexing tensors could not be broadcast together with shapes [2], [3]"),
    case("a negative step", lambda t: t.ones(3)[::-1],
         ValueError, "step must be greater than zero, got -1; use flip() to reverse a dimension"),
    case("assigning another shape", lambda t: t.ones(3).__setitem__(slice(0, 2), t.ones(3)),
         RuntimeError, "output with shape [2] doesn't match the broadcast .. op cannot change its tensor's shape"),
    case("assigning text", lambda t: t.ones(3).__setitem__(0, "a"),
         TypeError, "can't assign a str to a tensor of float32: 'a'"),
    case("gather: index dtype", lambda t: t.ones(3).gather(0, t.tensor([0.0])),
         RuntimeError, "gather(): Expected dtype int32/int64 for index, got float32"),
    case("gather: index out of range", lambda t: t.ones(3).gather(0, t.tensor([5])),
         RuntimeError, "index 5 is out of bounds for dimension 0 with size 3"),
    case("gather: numbers of dims", lambda t: t.ones(3, 3).gather(0, t.tensor([0])),
         RuntimeError, "Index tensor must have the same number of .. index [1], input [3, 3], src [1]"),
    case("scatter: sizes", lambda t: t.zeros(3).scatter(0, t.tensor([0, 1]), t.ones(1)),
         RuntimeError, "Size does not match: expected index [2] to be no .. to be no larger size than src [1]"),
    case("index_select: out of range", lambda t: t.ones(3).index_select(0, t.tensor([3])),
         IndexError, "index 3 is out of bounds for dimension 0 with size 3"),
    case("masked_fill: mask dtype", lambda t: t.ones(3).masked_fill(t.tensor([0, 1, 0]), 0.0),
         RuntimeError, "masked_fill only supports boolean masks, but got mask with dtype int64"),
    case("masked_fill: mask shape", lambda t: t.ones(3).masked_fill(t.tensor([True, False]), 0.0),
         RuntimeError, "masked_fill: The size of tensor a (3) must match .. the one that is missing an axis"),
    case("index_put: dtypes", lambda t: t.ones(3).index_put((t.tensor([0]),), t.ones(1, dtype=t.float64)),
         RuntimeError, "Index put requires the source and destination .. and float64 for the source"),
    # ---- products
    case("matmul: sizes", lambda t: t.ones(2, 3) @ t.ones(4, 5),
         RuntimeError, "(2x3 and 4x5): axis -1 of the first (3) must be as long as axis -2 of the second (4)"),
    case("matmul: vectors", lambda t: t.ones(2) @ t.ones(3),
         RuntimeError, "(2 and 3): axis -1 of the first (2) must be as long as axis -1 of the second (3)"),
    case("matmul: a number", lambda t: t.ones(2) @ t.tensor(1.0),
         RuntimeError, "both arguments to matmul need to be at least 1D, but they are 1D and 0D"),
    case("matmul: dtypes", lambda t: t.ones(2, 2) @ t.ones(2, 2, dtype=t.float64),
         RuntimeError, "expected m1 and m2 to have the same dtype, but .. double; convert one with .to(dtype)"),
    case("bmm: batches", lambda t: t.bmm(t.ones(2, 3, 4), t.ones(3, 4, 5)),
         RuntimeError, "bmm: input has 2 matrices, mat2 has 3"),
    case("einsum: sizes", lambda t: t.einsum("ij,jk->ik", t.ones(2, 3), t.ones(4, 5)),
         RuntimeError, "subscript j has size 4 for operand 1 .. seen size 3: 'ij,jk' with shapes (2, 3), (4, 5)"),
    case("inv: not square", lambda t: t.linalg.inv(t.ones(2, 3)),
         RuntimeError, "linalg.inv: A must be batches of square matrices, but they are 2 by 3 matrices"),
    case("inv: singular", lambda t: t.linalg.inv(t.ones(2, 2)),
         RuntimeError, "linalg.inv: the input matrix is singular (rows linearly dependent)"),
    case("cholesky: not positive", lambda t: t.linalg.cholesky(-t.eye(2)),
         RuntimeError, "linalg.cholesky: the factorization could not be .. (least eigenvalue -1)"),
    # ---- gradients
    case("in place on a leaf", lambda t: leaf(t).add_(1),
         RuntimeError, "a leaf Variable that requires grad is being used .. it under no_grad(), or on a clone()"),
    case("in place on a view of a leaf", lambda t: leaf(t)[0].zero_(),
         RuntimeError, "a view of a leaf Variable that requires grad is .. it under no_grad(), or on a clone()"),
    case("a new shape for a leaf", lambda t: leaf(t).unsqueeze_(0),
         RuntimeError, "a leaf Variable that requires grad is being used .. it under no_grad(), or on a clone()"),
    case("in place: a larger result", lambda t: t.ones(2).add_(t.ones(3, 2)),
         RuntimeError, "output with shape [2] doesn't match the broadcast .. op cannot change its tensor's shape"),
    case("in place: a wider dtype", lambda t: t.tensor([1]).add_(0.5),
         RuntimeError, "result type float32 can't be cast to the desired .. int64; use the out-of-place form"),
    case("in place on an expanded tensor", lambda t: t.ones(1).expand(3).add_(1),
         RuntimeError, "unsupported operation: more than one element of .. before performing the operation"),
    case("backward of a vector", lambda t: (leaf(t) * 2).backward(),
         RuntimeError, "for scalar outputs, not for shape [2]: reduce it first (.sum(), .mean()) or pass a gradient"),
    case("backward of a constant", lambda t: t.ones(1).backward(),
         RuntimeError, "element 0 of tensors does not require grad and .. ran under no_grad, or was detached)"),
    case("backward twice", lambda t: backward_twice(t),
         RuntimeError, "a second time: what pow saved was freed .. retain_graph=True, or run the forward again"),
    case("backward: gradient's shape", lambda t: (leaf(t) * 2).backward(t.ones(3)),
         RuntimeError, "Mismatch in shape: grad_output[0] has a shape of [3] and output[0] has a shape of [2]"),
    case("backward: a number", lambda t: (leaf(t) * 2).sum().backward(1.0),
         TypeError, "gradients can be either Tensors or None, but got float"),
    case("saved, then changed", lambda t: saved_then_changed(t),
         RuntimeError, "modified by an inplace operation: mul saved it .. out-of-place form, or change a clone()"),
    case("grad of what was not used", lambda t: t.autograd.grad(leaf(t).sum(), leaf(t)),
         RuntimeError, "One of the differentiated Tensors appears to not .. (its gradient is then None)"),
    case("grad of what is not tracked", lambda t: t.autograd.grad(leaf(t).sum(), t.ones(1)),
         RuntimeError, "One of the differentiated Tensors does not require grad: inputs[0]"),
    case("a hook on a constant", lambda t: t.ones(1).register_hook(print),
         RuntimeError, "cannot register a hook on a tensor that doesn't require gradient"),
    case("requires_grad of integers", lambda t: t.tensor([1]).requires_grad_(),
         RuntimeError, "only Tensors of floating point dtype can require .. convert it first, e.g. x.float()"),
    case("numpy of what requires grad", lambda t: leaf(t).numpy(),
         RuntimeError, "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead"),
    case("grad: another shape", lambda t: setattr(leaf(t), "grad", t.ones(3)),
         RuntimeError, "assigned grad has float32[3], the tensor has float32[2]"),
    case("Function: too many gradients", lambda t: function(t, lambda ctx, g: (g, g)).apply(leaf(t)).sum().backward(),
         RuntimeError, "function DoubleBackward returned an incorrect .. of forward, None where it has none"),
    case("Function: gradient's shape", lambda t: function(t, lambda ctx, g: t.ones(5)).apply(leaf(t)).sum().backward(),
         RuntimeError, "Function DoubleBackward returned an invalid .. expected shape compatible with [2]"),
    case("vjp: v", lambda t: t.autograd.functional.vjp(lambda x: x * 2, t.ones(2), t.ones(3)),
         RuntimeError, "v has invalid size: should be [2] but got [3]"),
    case("hessian: not a scalar", lambda t: t.autograd.functional.hessian(lambda x: x * 2, t.ones(2)),
         RuntimeError, "The Tensor returned by the function given to hessian should contain a single element"),
    # ---- linear layers and convolutions
    case("Linear: negative", lambda t: t.nn.Linear(-1, 2),
         RuntimeError, "Linear: in_features must not be negative, got -1"),
    case("Linear: text", lambda t: t.nn.Linear("3", 2), TypeError, "Linear: in_features must be an int, got '3'"),
    case("Linear: sizes", lambda t: t.nn.Linear(128, 10)(t.zeros(64, 120)),
         RuntimeError, "linear 128→10: expected (…, 128), got (64, 120). .. it, or change in_features to 120"),
    case("Linear: dtype", lambda t: t.nn.Linear(2, 2)(t.zeros(1, 2, dtype=t.float64)),
         RuntimeError, "linear 2→2: input and weight must have the same .. convert one with .to(dtype)"),
    case("Linear: a list", lambda t: t.nn.Linear(2, 2)([1.0, 2.0]),
         TypeError, "linear(): argument 'input' must be Tensor, not list"),
    case("Bilinear: sizes", lambda t: t.nn.Bilinear(2, 3, 4)(t.zeros(5, 2), t.zeros(5, 4)),
         RuntimeError, "bilinear(): input2 size does not match weight .. is (out, in1, in2), input2 (5, 4)"),
    case("Conv2d: groups and in_channels", lambda t: t.nn.Conv2d(3, 4, 3, groups=2),
         ValueError, "in_channels must be divisible by groups, got in_channels=3, groups=2"),
    case("Conv2d: groups and out_channels", lambda t: t.nn.Conv2d(4, 3, 3, groups=2),
         ValueError, "out_channels must be divisible by groups, got out_channels=3, groups=2"),
    case("Conv2d: no groups", lambda t: t.nn.Conv2d(4, 4, 3, groups=0),
         ValueError, "groups must be a positive integer, got groups=0"),
    case("Conv2d: negative channels", lambda t: t.nn.Conv2d(-3, 4, 3),
         RuntimeError, "Conv2d: in_channels must not be negative, got -3"),
    case("Conv2d: padding's word", lambda t: t.nn.Conv2d(3, 4, 3, padding="full"),
         ValueError, "Invalid padding string 'full', should be one of 'same', 'valid'"),
    case("Conv2d: same with strides", lambda t: t.nn.Conv2d(3, 4, 3, padding="same", stride=2),
         ValueError, "padding='same' is not supported for strided convolutions, got stride=(2, 2)"),
    case("Conv2d: padding_mode", lambda t: t.nn.Conv2d(3, 4, 3, padding_mode="mirror"),
         ValueError, "padding_mode must be one of zeros, reflect, .. but got padding_mode='mirror'"),
    case("Conv2d: reflecting too far", lambda t: t.nn.Conv2d(3, 4, 3, padding=9, padding_mode="reflect")(image(t)),
         RuntimeError, "Padding size should be less than the .. dimension 2 of input [1, 3, 8, 8]"),
    case("Conv2d: kernel of three", lambda t: t.nn.Conv2d(3, 4, (3, 3, 3))(image(t)),
         RuntimeError, "expected kernel_size to be a single integer value .. but got kernel_size=[3, 3, 3]"),
    case("Conv2d: kernel of none", lambda t: t.nn.Conv2d(3, 4, 0)(image(t)),
         RuntimeError, "non-positive kernel_size is not supported: Conv2d got kernel_size=0"),
    case("Conv2d: kernel with a fraction", lambda t: t.nn.Conv2d(3, 4, 2.5),
         TypeError, "Conv2d(): argument 'kernel_size' must be an int or 2 ints, but found 2.5 of type float"),
    case("Conv2d: stride 0", lambda t: t.nn.Conv2d(3, 4, 3, stride=0)(image(t)),
         RuntimeError, "non-positive stride is not supported: Conv2d got stride=0"),
    case("Conv2d: negative stride", lambda t: t.nn.Conv2d(3, 4, 3, stride=-1)(image(t)),
         RuntimeError, "non-positive stride is not supported: Conv2d got stride=-1"),
    case("Conv2d: dilation 0", lambda t: t.nn.Conv2d(3, 4, 3, dilation=0)(image(t)),
         RuntimeError, "non-positive dilation is not supported: Conv2d got dilation=0"),
    case("Conv2d: negative padding", lambda t: t.nn.Conv2d(3, 4, 3, padding=-1)(image(t)),
         RuntimeError, "negative padding is not supported: conv2d got padding=-1"),
    case("Conv2d: channels", lambda t: t.nn.Conv2d(3, 4, 3)(image(t, channels=1)),
         RuntimeError, "weight of size [4, 3, 3, 3], expected input[1, 1, 8, 8] to have 3 channels, but got 1"),
    case("Conv2d: kernel larger than the image", lambda t: t.nn.Conv2d(3, 4, 9)(image(t)),
         RuntimeError, "(8 x 8). Kernel size: (9 x 9). .. actual input size: pad more, or use a smaller kernel"),
    case("Conv2d: number of axes", lambda t: t.nn.Conv2d(3, 4, 3)(t.zeros(8, 8)),
         RuntimeError, "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [8, 8]"),
    case("Conv2d: dtype", lambda t: t.nn.Conv2d(3, 4, 3)(image(t).double()),
         RuntimeError, "Input type (float64) and weight type (float32) .. same: convert one with .to(dtype)"),
    case("conv2d: bias", lambda t: F(t).conv2d(image(t), t.zeros(4, 3, 3, 3), t.zeros(5)),
         RuntimeError, "Given groups=1, weight of size [4, 3, 3, 3], .. but got bias of size [5] instead"),
    case("Conv1d: channels", lambda t: t.nn.Conv1d(3, 4, 3)(t.zeros(2, 4, 9)),
         RuntimeError, "Given groups=1, weight of size [4, 3, 3], .. but got 4 channels instead"),
    case("Conv1d: number of axes", lambda t: t.nn.Conv1d(3, 4, 3)(image(t)),
         RuntimeError, "Expected 2D (unbatched) or 3D (batched) input to .. but got input of size: [1, 3, 8, 8]"),
    case("ConvTranspose2d: groups", lambda t: t.nn.ConvTranspose2d(3, 4, 3, groups=2),
         ValueError, "in_channels must be divisible by groups, got in_channels=3, groups=2"),
    case("ConvTranspose2d: channels", lambda t: t.nn.ConvTranspose2d(3, 4, 3)(image(t, channels=4)),
         RuntimeError, "Given groups=1, weight of size [3, 4, 3, 3], .. but got 4 channels instead"),
    case("ConvTranspose2d: output_padding", lambda t: t.nn.ConvTranspose2d(3, 4, 3, 2, output_padding=2)(image(t)),
         RuntimeError, "output padding must be smaller than either stride .. 2), stride=(2, 2), dilation=(1, 1)"),
    case("ConvTranspose2d: output_size", lambda t: t.nn.ConvTranspose2d(3, 4, 3, 2)(image(t), (30, 30)),
         ValueError, "requested an output size of (30, 30), but valid .. [18, 18] (for an input of [8, 8])"),
    case("ConvTranspose2d: padding_mode", lambda t: t.nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"),
         ValueError, "Only \"zeros\" padding mode is supported for ConvTranspose2d, got padding_mode='reflect'"),
    case("ConvTranspose1d: number of axes", lambda t: t.nn.ConvTranspose1d(3, 4, 3)(image(t)),
         RuntimeError, "Expected 2D (unbatched) or 3D (batched) input to .. but got input of size: [1, 3, 8, 8]"),
    case("fold: number of blocks", lambda t: F(t).fold(t.zeros(1, 4, 5), (3, 3), (2, 2)),
         RuntimeError, "Given output_size=(3, 3), kernel_size=(2, 2), .. 2 * 2 = 4, but got input.size(2)=5"),
    # ---- pooling, padding, resizing
    case("MaxPool2d: no kernel", lambda t: t.nn.MaxPool2d(0)(image(t)),
         RuntimeError, "max_pool2d: kernel_size should be greater than zero, but got (0, 0)"),
    case("MaxPool2d: stride 0", lambda t: t.nn.MaxPool2d(2, stride=0)(image(t)),
         RuntimeError, "max_pool2d: stride should be greater than zero, but got (0, 0)"),
    case("MaxPool2d: dilation 0", lambda t: t.nn.MaxPool2d(2, dilation=0)(image(t)),
         RuntimeError, "max_pool2d: dilation should be greater than zero, but got (0, 0)"),
    case("MaxPool2d: too much padding", lambda t: t.nn.MaxPool2d(2, padding=2)(image(t)),
         RuntimeError, "pad should be at most half of effective kernel .. and dilation=1 in max_pool2d"),
    case("MaxPool2d: negative padding", lambda t: t.nn.MaxPool2d(2, padding=-1)(image(t)),
         RuntimeError, "pad must be non-negative, but got pad: -1 in max_pool2d"),
    case("MaxPool2d: kernel larger than the image", lambda t: t.nn.MaxPool2d(9)(image(t)),
         RuntimeError, "Given input size: (3x8x8). Calculated output .. 9) needs a larger image"),
    case("MaxPool2d: no rows", lambda t: t.nn.MaxPool2d(2)(t.zeros(1, 3, 0, 8)),
         RuntimeError, "with optional 0 dim batch size for input of max_pool2d, but got: [1, 3, 0, 8]"),
    case("MaxPool2d: number of axes", lambda t: t.nn.MaxPool2d(2)(t.zeros(8, 8)),
         RuntimeError, "Expected 3D or 4D (batch mode) tensor with .. of max_pool2d, but got: [8, 8]"),
    case("MaxPool1d: kernel larger than the input", lambda t: t.nn.MaxPool1d(9)(t.zeros(1, 3, 4)),
         RuntimeError, "Given input size: (3x1x4). Calculated output .. needs a larger image"),
    case("AvgPool2d: divisor 0", lambda t: t.nn.AvgPool2d(2, divisor_override=0)(image(t)),
         RuntimeError, "divisor must be not zero: avg_pool2d got divisor_override=0"),
    case("AvgPool2d: too much padding", lambda t: t.nn.AvgPool2d(2, padding=2)(image(t)),
         RuntimeError, "pad should be at most half of effective kernel .. and dilation=1 in avg_pool2d"),
    case("AdaptiveAvgPool2d: negative", lambda t: t.nn.AdaptiveAvgPool2d(-1)(image(t)),
         RuntimeError, "adaptive_avg_pool2d: elements of output_size must .. or equal to 0 but received (-1, -1)"),
    case("AdaptiveMaxPool2d: number of axes", lambda t: t.nn.AdaptiveMaxPool2d(2)(t.zeros(8)),
         RuntimeError, "adaptive_max_pool2d(): Expected 3D or 4D tensor, but got [8]"),
    case("ReflectionPad2d: too far", lambda t: t.nn.ReflectionPad2d(8)(image(t)),
         RuntimeError, "Padding size should be less than the .. dimension 2 of input [1, 3, 8, 8]"),
    case("pad: an odd number", lambda t: F(t).pad(image(t), (1, 1, 1)),
         RuntimeError, "Padding length must be divisible by 2, two numbers for an axis, but got pad=[1, 1, 1]"),
    case("pad: mode", lambda t: F(t).pad(image(t), (1, 1), mode="mirror"),
         NotImplementedError, "Unrecognised padding mode mirror: choose constant, reflect, replicate, circular"),
    case("pad: more off than there is", lambda t: F(t).pad(t.zeros(3), (-2, -2)),
         RuntimeError, "pad=[-2, -2] cuts off more than there is of an input of shape [3]"),
    case("PixelShuffle: channels", lambda t: t.nn.PixelShuffle(2)(image(t)),
         RuntimeError, "pixel_shuffle expects its input's 'channel' .. is not divisible by 4"),
    case("Upsample: no size", lambda t: t.nn.Upsample()(image(t)),
         ValueError, "either size or scale_factor should be defined"),
    case("interpolate: two sizes", lambda t: F(t).interpolate(image(t), size=4, scale_factor=2),
         ValueError, "only one of size or scale_factor should be defined"),
    case("interpolate: mode", lambda t: F(t).interpolate(image(t), size=4, mode="wild"),
         NotImplementedError, "interpolate: no mode is called 'wild'; choose .. bilinear, trilinear, bicubic"),
    case("interpolate: align_corners", lambda t: F(t).interpolate(image(t), size=4, mode="nearest", align_corners=True),
         ValueError, "align_corners option can only be set with the .. | trilinear, but mode is nearest"),
    case("interpolate: size 0", lambda t: F(t).interpolate(image(t), size=0),
         RuntimeError, "Input and output sizes should be greater than 0, but got input [8, 8] and output [0, 0]"),
    case("Unflatten: sizes", lambda t: t.nn.Unflatten(1, (2, 2))(t.ones(1, 5)),
         RuntimeError, "unflatten: Provided sizes [2, 2] don't multiply .. in the input tensor of shape [1, 5]"),
    # ---- normalization, dropout, activations
    case("BatchNorm1d: one sample", lambda t: t.nn.BatchNorm1d(3)(t.zeros(1, 3)),
         ValueError, "Expected more than 1 value per channel when .. be 0; use a larger batch, or eval()"),
    case("BatchNorm1d: number of axes", lambda t: t.nn.BatchNorm1d(3)(image(t)),
         ValueError, "expected 2D or 3D input (got 4D input)"),
    case("BatchNorm1d: integers", lambda t: t.nn.BatchNorm1d(3)(t.tensor([[1, 2, 3], [4, 5, 6]])),
         NotImplementedError, "batch_norm is not implemented for int64: use input.float()"),
    case("BatchNorm2d: negative", lambda t: t.nn.BatchNorm2d(-4),
         RuntimeError, "BatchNorm2d: num_features must not be negative, got -4"),
    case("BatchNorm2d: channels", lambda t: t.nn.BatchNorm2d(4)(image(t)),
         RuntimeError, "batch_norm: running_mean should contain 3 .. running_mean the shape (4,)"),
    case("batch_norm: eps", lambda t: F(t).batch_norm(t.ones(4, 3), None, None, training=True, eps=-1.0),
         ValueError, "batch_norm eps must be positive during training, but got -1.0"),
    case("batch_norm: nothing known", lambda t: F(t).batch_norm(t.ones(4, 3), None, None),
         RuntimeError, "running_mean must be defined in evaluation mode: .. statistics, or training=True"),
    case("batch_norm: half is known", lambda t: F(t).batch_norm(t.ones(4, 3), t.zeros(3), None),
         RuntimeError, "running_var must be defined in evaluation mode: .. statistics, or training=True"),
    case("batch_norm: half in training", lambda t: F(t).batch_norm(t.ones(4, 3), t.zeros(3), None, training=True),
         ValueError, "running_mean and running_var must either both be .. be None, but only running_var is"),
    case("GroupNorm: groups", lambda t: t.nn.GroupNorm(2, 3),
         ValueError, "num_channels (3) must be divisible by num_groups (2)"),
    case("GroupNorm: no groups", lambda t: t.nn.GroupNorm(0, 3),
         ValueError, "num_channels (3) must be divisible by num_groups (0)", "PyTorch divides by 0"),
    case("GroupNorm: channels", lambda t: t.nn.GroupNorm(1, 3)(t.zeros(2, 4)),
         RuntimeError, "group_norm: weight should contain 4 elements not .. 4 channels, weight the shape (3,)"),
    case("LayerNorm: sizes", lambda t: t.nn.LayerNorm(4)(t.zeros(2, 3)),
         RuntimeError, "layer_norm: Given normalized_shape=[4], expected .. 4], but got input of size [2, 3]"),
    case("RMSNorm: sizes", lambda t: t.nn.RMSNorm(4)(t.zeros(2, 3)),
         RuntimeError, "rms_norm: Given normalized_shape=[4], expected .. 4], but got input of size [2, 3]"),
    case("InstanceNorm1d: one element", lambda t: t.nn.InstanceNorm1d(3)(t.zeros(2, 3, 1)),
         ValueError, "Expected more than 1 spatial element when training, got input size (2, 3, 1)"),
    case("Dropout: p above 1", lambda t: t.nn.Dropout(1.5),
         ValueError, "dropout probability has to be between 0 and 1, but got 1.5"),
    case("Dropout2d: p", lambda t: t.nn.Dropout2d(2),
         ValueError, "dropout probability has to be between 0 and 1, but got 2"),
    case("dropout: p", lambda t: F(t).dropout(t.ones(2), p=2.0),
         ValueError, "dropout probability has to be between 0 and 1, but got 2.0"),
    case("Hardtanh: bounds", lambda t: t.nn.Hardtanh(1.0, -1.0),
         AssertionError, "max_val (-1.0) must be greater than min_val (1.0)"),
    case("PReLU: channels", lambda t: t.nn.PReLU(3)(t.zeros(2, 4)),
         RuntimeError, "Mismatch of parameter numbers and input channel .. numbers = 3 and channel size = 4"),
    case("GELU: approximate", lambda t: t.nn.GELU("sigmoid")(t.zeros(2)),
         RuntimeError, "approximate argument must be either none or tanh, got 'sigmoid'"),
    case("GLU: odd", lambda t: t.nn.GLU()(t.zeros(3)),
         RuntimeError, "Halving dimension must be even, but dimension 0 is size 3"),
    case("Softmax: dim", lambda t: t.nn.Softmax(2)(t.zeros(2, 3)),
         IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)"),
    case("Softmax: integers", lambda t: t.nn.Softmax(0)(t.tensor([1, 2])),
         NotImplementedError, "softmax is not implemented for int64: pass dtype=tn.float32"),
    case("ReLU: in place on a leaf", lambda t: t.nn.ReLU(inplace=True)(leaf(t)),
         RuntimeError, "a leaf Variable that requires grad is being used .. it under no_grad(), or on a clone()"),
    # ---- embeddings
    case("Embedding: index out of range", lambda t: t.nn.Embedding(4, 3)(t.tensor([4])),
         IndexError, "index out of range in self: input holds 4, but weight (4, 3) has the rows 0 to 3"),
    case("Embedding: negative index", lambda t: t.nn.Embedding(4, 3)(t.tensor([-1])),
         IndexError, "index out of range in self: input holds -1, but weight (4, 3) has the rows 0 to 3"),
    case("Embedding: floats", lambda t: t.nn.Embedding(4, 3)(t.tensor([1.0])),
         RuntimeError, "embedding: Expected input to have one of the .. float32 instead: use input.long()"),
    case("Embedding: padding_idx", lambda t: t.nn.Embedding(4, 3, padding_idx=4),
         AssertionError, "Padding_idx must be within num_embeddings: got 4 for 4 rows, expected -4 to 3"),
    case("Embedding: negative", lambda t: t.nn.Embedding(-1, 3),
         RuntimeError, "Embedding: num_embeddings must not be negative, got -1"),
    case("Embedding: weight", lambda t: t.nn.Embedding(4, 3, _weight=t.zeros(3, 3)),
         AssertionError, "Shape of weight does not match num_embeddings and .. got (3, 3), expected (4, 3)"),
    case("one_hot: num_classes", lambda t: F(t).one_hot(t.tensor([3]), num_classes=3),
         RuntimeError, "Class values must be smaller than num_classes, but input holds 3 and num_classes=3"),
    case("one_hot: of nothing", lambda t: F(t).one_hot(t.zeros(0).long()),
         RuntimeError, "Can not infer total number of classes from empty tensor: give num_classes"),
    case("one_hot: floats", lambda t: F(t).one_hot(t.tensor([1.0])),
         RuntimeError, "one_hot is only applicable to index tensor of .. got float32: use input.long()"),
    # ---- recurrent layers
    case("RNN: no layers", lambda t: t.nn.RNN(2, 3, num_layers=0),
         ValueError, "num_layers must be greater than zero, got 0"),
    case("RNN: nonlinearity", lambda t: t.nn.RNN(2, 3, nonlinearity="sigmoid"),
         ValueError, "Unknown nonlinearity 'sigmoid'. Select from 'tanh' or 'relu'"),
    case("RNN: hidden size", lambda t: t.nn.RNN(2, 3)(t.zeros(5, 4, 2), t.zeros(1, 4, 2)),
         RuntimeError, "RNN: Expected hidden size (1, 4, 3) for an input (5, 4, 2), got hx of size (1, 4, 2)"),
    case("LSTM: no hidden units", lambda t: t.nn.LSTM(2, 0),
         ValueError, "hidden_size must be greater than zero, got 0"),
    case("LSTM: dropout", lambda t: t.nn.LSTM(2, 3, dropout=1.5),
         ValueError, "dropout should be a number in range [0, 1] .. of an element being zeroed, got 1.5"),
    case("LSTM: proj_size", lambda t: t.nn.LSTM(2, 3, proj_size=3),
         ValueError, "proj_size has to be from 0 to hidden_size - 1 = 2, got 3"),
    case("LSTM: input size", lambda t: t.nn.LSTM(2, 3)(t.zeros(5, 1, 4)),
         RuntimeError, "Expected 2, got 4: expected (L, N, 2) or, unbatched, (L, 2), got (5, 1, 4)"),
    case("LSTM: one state", lambda t: t.nn.LSTM(2, 3)(t.zeros(5, 4, 2), t.zeros(1, 4, 3)),
         TypeError, "LSTM(): argument 'hx' must be tuple of Tensors, (h, c), not Tensor", "PyTorch: IndexError"),
    case("LSTM: cell state", lambda t: t.nn.LSTM(2, 3)(t.zeros(5, 4, 2), (t.zeros(1, 4, 3), t.zeros(1, 4, 2))),
         RuntimeError, "LSTM: Expected hidden size (1, 4, 3) for an input (5, 4, 2), got hx[1] of size (1, 4, 2)"),
    case("LSTM: states of two directions", lambda t: t.nn.LSTM(2, 3, bidirectional=True)(t.zeros(5, 4, 2), states(t)),
         RuntimeError, "LSTM: Expected hidden size (2, 4, 3) for an input (5, 4, 2), got hx[0] of size (1, 4, 3)"),
    case("GRU: batch of the state", lambda t: t.nn.GRU(2, 3)(t.zeros(5, 4, 2), t.zeros(1, 3, 3)),
         RuntimeError, "GRU: Expected hidden size (1, 4, 3) for an input (5, 4, 2), got hx of size (1, 3, 3)"),
    case("GRU: layers of the state", lambda t: t.nn.GRU(2, 3, num_layers=2)(t.zeros(5, 4, 2), t.zeros(1, 4, 3)),
         RuntimeError, "GRU: Expected hidden size (2, 4, 3) for an input (5, 4, 2), got hx of size (1, 4, 3)"),
    case("GRU: dtype", lambda t: t.nn.GRU(2, 3)(t.zeros(5, 4, 2).double()),
         ValueError, "RNN input dtype (float64) does not match weight .. or convert model: model.to(float64)"),
    case("GRU: no steps", lambda t: t.nn.GRU(2, 3)(t.zeros(0, 4, 2)),
         RuntimeError, "Expected sequence length to be larger than 0 in GRU, got (0, 4, 2)"),
    case("RNNCell: nonlinearity", lambda t: t.nn.RNNCell(2, 3, nonlinearity="sigmoid")(t.zeros(1, 2)),
         RuntimeError, "Unknown nonlinearity: 'sigmoid'; there are 'tanh' and 'relu'"),
    case("LSTMCell: input size", lambda t: t.nn.LSTMCell(2, 3)(t.zeros(4, 3)),
         RuntimeError, "LSTMCell: input has inconsistent input_size: got .. 2, got an input of shape (4, 3)"),
    case("GRUCell: batch of the state", lambda t: t.nn.GRUCell(2, 3)(t.zeros(4, 2), t.zeros(3, 3)),
         RuntimeError, "GRUCell: Input batch size doesn't match hidden0 .. 2) hx must be (4, 3), got (3, 3)"),
    # ---- attention
    case("MultiheadAttention: heads", lambda t: t.nn.MultiheadAttention(5, 2),
         AssertionError, "embed_dim must be divisible by num_heads, got embed_dim=5 and num_heads=2"),
    case("MultiheadAttention: no heads", lambda t: t.nn.MultiheadAttention(4, 0),
         ValueError, "embed_dim and num_heads must be greater than 0, got embed_dim=4 and num_heads=0 instead"),
    case("MultiheadAttention: embedding", lambda t: attend(t, size=5),
         AssertionError, "was expecting embedding dimension of 4, but got 5: query has the shape (3, 1, 5)"),
    case("MultiheadAttention: key and value", lambda t: attend(t, values=2),
         AssertionError, "key and value must have the same shape, but got .. 1, 4): pass kdim and vdim if not"),
    case("MultiheadAttention: attn_mask", lambda t: attend(t, attn_mask=t.zeros(2, 3)),
         RuntimeError, "The shape of the 2D attn_mask is (2, 3), but should be (3, 3)"),
    case("MultiheadAttention: attn_mask for each head", lambda t: attend(t, attn_mask=t.zeros(3, 3, 3)),
         RuntimeError, "The shape of the 3D attn_mask is (3, 3, 3), but should be (2, 3, 3)"),
    case("MultiheadAttention: attn_mask dtype", lambda t: attend(t, attn_mask=t.ones(3, 3).long()),
         AssertionError, "only bool and floating types of attn_mask are .. but got int64: use attn_mask.bool()"),
    case("MultiheadAttention: key_padding_mask", lambda t: attend(t, key_padding_mask=t.zeros(1, 2)),
         AssertionError, "Expected key_padding_mask.shape to be (1, 3), but got (1, 2)"),
    case("MultiheadAttention: is_causal alone", lambda t: attend(t, is_causal=True),
         RuntimeError, "Need attn_mask if specifying the is_causal hint: .. 3, dtype=tn.bool).triu(1)"),
    case("attention: features", lambda t: attention(t, keys=5),
         RuntimeError, "scaled_dot_product_attention: query and key must .. 4), key (2, 3, 5), value (2, 3, 4)"),
    case("attention: mask", lambda t: attention(t, attn_mask=t.zeros(2, 2)),
         RuntimeError, "scaled_dot_product_attention: attn_mask must .. (2, 3, 3), but got the shape (2, 2)"),
    case("attention: dropout_p", lambda t: attention(t, dropout_p=1.5),
         RuntimeError, "dropout probability has to be between 0 and 1, but got 1.5"),
    case("TransformerEncoderLayer: activation", lambda t: t.nn.TransformerEncoderLayer(4, 2, activation="tanh"),
         RuntimeError, "activation should be relu/gelu, not tanh; or pass a function"),
    case("TransformerEncoder: mask", lambda t: encoder(t)(t.zeros(3, 1, 4), mask=t.zeros(2, 2)),
         RuntimeError, "The shape of the 2D attn_mask is (2, 2), but should be (3, 3)"),
    case("TransformerEncoder: padding mask", lambda t: encoder(t)(t.zeros(3, 1, 4), src_key_padding_mask=t.zeros(2, 2)),
         AssertionError, "Expected key_padding_mask.shape to be (1, 3), but got (2, 2)"),
    case("TransformerDecoderLayer: memory", lambda t: t.nn.TransformerDecoderLayer(4, 2)(t.zeros(3, 4), t.zeros(3, 5)),
         RuntimeError, "key must have kdim = 4 features and value vdim = 4, but got key (3, 5) and value (3, 5)"),
    # ---- losses
    case("mse_loss: a column and a vector", lambda t: F(t).mse_loss(t.zeros(4, 1), t.zeros(4)),
         ValueError, "mse_loss: input and target must have the same .. together: use target.reshape(4, 1)", UNEQUAL),
    case("mse_loss: shapes", lambda t: F(t).mse_loss(t.zeros(4), t.zeros(5)),
         ValueError, "mse_loss: input and target must have the same .. (5,). They do not even broadcast", UNEQUAL),
    case("mse_loss: a number", lambda t: F(t).mse_loss(t.zeros(4), 1.0),
         TypeError, "mse_loss(): argument 'target' must be Tensor, not float", "PyTorch: AttributeError"),
    case("mse_loss: integers", lambda t: F(t).mse_loss(t.tensor([1]), t.tensor([1])),
         NotImplementedError, "mse_loss is not implemented for int64: use input.float()"),
    case("MSELoss: reduction", lambda t: t.nn.MSELoss(reduction="average")(t.zeros(4), t.zeros(4)),
         ValueError, "average is not a valid value for reduction: use 'none', 'mean' or 'sum'"),
    *(
        case(f"{name}: shapes", lambda t, name=name: getattr(t.nn, name)()(t.zeros(4), t.zeros(5)),
             ValueError, "input and target must have the same shape, got (4,) and (5,)", UNEQUAL)
        for name in ("L1Loss", "SmoothL1Loss", "HuberLoss", "HingeEmbeddingLoss")
    ),
    case("SmoothL1Loss: beta", lambda t: t.nn.SmoothL1Loss(beta=-1.0)(t.zeros(4), t.zeros(4)),
         RuntimeError, "smooth_l1_loss does not support negative values for beta, got -1.0"),
    case("HuberLoss: delta", lambda t: t.nn.HuberLoss(delta=0.0)(t.zeros(4), t.zeros(4)),
         RuntimeError, "huber_loss does not support non-positive values for delta, got 0.0"),
    case("cross_entropy: label", lambda t: F(t).cross_entropy(t.zeros(2, 3), t.tensor([0, 3])),
         IndexError, "target[1] must be in [0, 3), as input (2, 3) has 3 classes, or be ignore_index=-100"),
    case("cross_entropy: negative label", lambda t: F(t).cross_entropy(t.zeros(2, 3), t.tensor([0, -1])),
         IndexError, "Target -1 is out of bounds: target[1] must be in .. 3 classes, or be ignore_index=-100"),
    case("cross_entropy: labels of floats", lambda t: F(t).cross_entropy(t.zeros(2, 3), t.tensor([0.0, 1.0])),
         RuntimeError, "expected scalar type Long or Byte for labels but .. have the input's shape, (2, 3))"),
    case("cross_entropy: labels of int32", lambda t: F(t).cross_entropy(t.zeros(2, 3), t.tensor([0, 1], dtype=t.int32)),
         RuntimeError, "expected scalar type Long or Byte for labels but .. have the input's shape, (2, 3))"),
    case("cross_entropy: batches", lambda t: F(t).cross_entropy(t.zeros(2, 3), t.tensor([0, 1, 2])),
         ValueError, "Expected input batch_size (2) to match target batch_size (3)"),
    case("cross_entropy: labels with an axis more", lambda t: F(t).cross_entropy(t.zeros(2, 3), t.tensor([[0], [1]])),
         RuntimeError, "0D or 1D target tensor expected, multi-target not .. labels of shape (2,), got (2, 1)"),
    case("cross_entropy: pixels", lambda t: F(t).cross_entropy(t.zeros(2, 3, 4, 4), t.zeros(2, 4, 5).long()),
         RuntimeError, "size mismatch (got input: [2, 3, 4, 4], target: .. labels must have shape (2, 4, 4)"),
    case("cross_entropy: label_smoothing", lambda t: F(t).cross_entropy(t.zeros(3), t.tensor(0), label_smoothing=1.5),
         RuntimeError, "label_smoothing must be between 0.0 and 1.0. Got: 1.5"),
    case("CrossEntropyLoss: weight", lambda t: t.nn.CrossEntropyLoss(weight=t.ones(2))(t.zeros(2, 3), t.tensor([0, 1])),
         RuntimeError, "weight tensor should be defined either for all 3 .. but got weight tensor of shape: [2]"),
    case("nll_loss: label", lambda t: F(t).nll_loss(t.zeros(2, 3), t.tensor([0, 5])),
         IndexError, "Target 5 is out of bounds: target[1] must be in .. 3 classes, or be ignore_index=-100"),
    case("BCELoss: out of range", lambda t: t.nn.BCELoss()(t.tensor([1.5]), t.tensor([1.0])),
         RuntimeError, "between 0 and 1, got 1.5 to 1.5: apply sigmoid, or use binary_cross_entropy_with_logits"),
    case("BCELoss: shapes", lambda t: t.nn.BCELoss()(t.zeros(2), t.zeros(3)),
         ValueError, "binary_cross_entropy: input and target must have .. (3,). They do not even broadcast"),
    case("BCELoss: dtype", lambda t: t.nn.BCELoss()(t.zeros(2), t.zeros(2).long()),
         RuntimeError, "binary_cross_entropy: Found dtype int64 but .. the target with .to(input.dtype)"),
    case("BCEWithLogitsLoss: shapes", lambda t: t.nn.BCEWithLogitsLoss()(t.zeros(2, 1), t.zeros(2)),
         ValueError, "binary_cross_entropy_with_logits: input and .. together: use target.reshape(2, 1)"),
    case("BCEWithLogitsLoss: pos_weight", lambda t: t.nn.BCEWithLogitsLoss(pos_weight=t.ones(3))(*[t.zeros(2)] * 2),
         RuntimeError, "The expanded size of the tensor (2) must match .. sizes: [2].  Tensor sizes: [3]"),
    case("KLDivLoss: shapes", lambda t: t.nn.KLDivLoss(reduction="sum")(t.zeros(2), t.zeros(3)),
         ValueError, "kl_div: input and target must have the same .. (3,). They do not even broadcast", UNEQUAL),
    case("cosine_embedding_loss: axes", lambda t: F(t).cosine_embedding_loss(t.ones(2, 3), t.ones(2, 3), t.ones(2, 1)),
         RuntimeError, "0D or 1D target tensor expected, multi-target not supported, got (2, 1)"),
    case("CosineEmbeddingLoss: sizes", lambda t: t.nn.CosineEmbeddingLoss()(t.zeros(2, 3), t.zeros(2, 4), t.ones(2)),
         ValueError, "cosine_embedding_loss: input1 and input2 must .. (2, 4). They do not even broadcast", UNEQUAL),
    case("MarginRankingLoss: sizes", lambda t: t.nn.MarginRankingLoss()(t.zeros(2), t.zeros(3), t.ones(2)),
         ValueError, "margin_ranking_loss: input1 and input2 must have .. (3,). They do not even broadcast", UNEQUAL),
    case("TripletMarginLoss: margin", lambda t: t.nn.TripletMarginLoss(margin=-1.0),
         ValueError, "TripletMarginLoss: expected margin to be greater than 0, got -1.0 instead"),
    case("TripletMarginLoss: sizes", lambda t: t.nn.TripletMarginLoss()(t.zeros(2, 3), t.zeros(2, 4), t.zeros(2, 3)),
         ValueError, "triplet_margin_loss: anchor and positive must .. (2, 4). They do not even broadcast", UNEQUAL),
    case("cosine_similarity: sizes", lambda t: F(t).cosine_similarity(t.zeros(2, 3), t.zeros(2, 4)),
         RuntimeError, "cosine_similarity: The size of tensor a (3) must .. the one that is missing an axis"),
    case("pairwise_distance: sizes", lambda t: F(t).pairwise_distance(t.zeros(2, 3), t.zeros(2, 4)),
         RuntimeError, "pairwise_distance: The size of tensor a (3) must .. the one that is missing an axis"),
    # ---- modules
    case("a parameter before super().__init__()", lambda t: early(t, lambda self: setattr(self, "x", parameter(t))),
         AttributeError, "cannot assign parameters before Module.__init__() call: call super().__init__() first"),
    case("a module before super().__init__()", lambda t: early(t, lambda self: setattr(self, "x", t.nn.ReLU())),
         AttributeError, "cannot assign module before Module.__init__() call: call super().__init__() first"),
    case("a buffer before super().__init__()", lambda t: early(t, lambda self: self.register_buffer("x", t.ones(1))),
         AttributeError, "cannot assign buffer before Module.__init__() call: call super().__init__() first"),
    case("a tensor for a parameter", lambda t: setattr(t.nn.Linear(2, 3), "weight", t.ones(3, 2)),
         TypeError, "cannot assign 'Tensor' as parameter 'weight' .. wrap it, or write weight.data"),
    case("a number for a buffer", lambda t: setattr(t.nn.BatchNorm1d(2), "running_mean", 3),
         TypeError, "cannot assign 'int' as buffer 'running_mean' (tn.Tensor or None expected)"),
    case("an unknown attribute", lambda t: t.nn.Linear(2, 3).wieght,
         AttributeError, "'Linear' object has no attribute 'wieght'"),
    case("register_buffer: an attribute's name", lambda t: t.nn.Module().register_buffer("training", t.ones(1)),
         KeyError, "attribute 'training' already exists"),
    case("register_buffer: a parameter's name", lambda t: t.nn.Linear(2, 3).register_buffer("weight", t.ones(1)),
         KeyError, "attribute 'weight' already exists"),
    case("register_buffer: a dot", lambda t: t.nn.Module().register_buffer("a.b", t.ones(1)),
         KeyError, "buffer name can't contain \".\", got: a.b"),
    case("register_buffer: no name", lambda t: t.nn.Module().register_buffer("", t.ones(1)),
         KeyError, "buffer name can't be empty string \"\""),
    case("register_buffer: a list", lambda t: t.nn.Module().register_buffer("a", [1]),
         TypeError, "cannot assign 'list' object to buffer 'a' (tn.Tensor or None required)"),
    case("register_parameter: a method's name", lambda t: t.nn.Module().register_parameter("forward", parameter(t)),
         KeyError, "attribute 'forward' already exists"),
    case("add_module: a number", lambda t: t.nn.Module().add_module("a", 3), TypeError, "int is not a Module subclass"),
    case("no forward", lambda t: t.nn.Module()(1),
         NotImplementedError, 'Module [Module] is missing the required "forward" function'),
    case("get_submodule: none there", lambda t: t.nn.Sequential(t.nn.ReLU()).get_submodule("0.conv"),
         AttributeError, "ReLU has no attribute `conv`"),
    case("get_parameter: none there", lambda t: t.nn.Sequential(t.nn.ReLU()).get_parameter("0.weight"),
         AttributeError, "ReLU has no attribute `weight`"),
    case("train: a number", lambda t: t.nn.ReLU().train(1),
         ValueError, "training mode is expected to be boolean, got 1"),
    case("to: integers", lambda t: t.nn.Linear(2, 3).to(t.int64),
         TypeError, "nn.Module.to only accepts floating point dtypes, but got desired dtype=int64"),
    case("Parameter: integers", lambda t: t.nn.Parameter(t.tensor([1])),
         RuntimeError, "only Tensors of floating point dtype can require .. convert it first, e.g. x.float()"),
    case("load_state_dict: missing", lambda t: t.nn.PReLU().load_state_dict({}),
         RuntimeError, 'Error(s) in loading state_dict for PReLU: .. Missing key(s) in state_dict: "weight"'),
    case("load_state_dict: unexpected", lambda t: t.nn.ReLU().load_state_dict({"extra": t.ones(1)}),
         RuntimeError, 'Error(s) in loading state_dict for ReLU: .. Unexpected key(s) in state_dict: "extra"'),
    case("load_state_dict: shape", lambda t: t.nn.PReLU(3).load_state_dict({"weight": t.ones(2)}),
         RuntimeError, "Error(s) in loading state_dict for PReLU: .. size .. the shape in current model is (3,)"),
    case("load_state_dict: not strict", lambda t: t.nn.PReLU(3).load_state_dict({"weight": t.ones(2)}, strict=False),
         RuntimeError, "Error(s) in loading state_dict for PReLU: .. size .. the shape in current model is (3,)"),
    case("load_state_dict: a list", lambda t: t.nn.PReLU().load_state_dict([1]),
         TypeError, "Expected state_dict to be dict-like, got <class 'list'>"),
    case("load_state_dict: no tensor", lambda t: t.nn.PReLU().load_state_dict({"weight": [1.0]}),
         RuntimeError, 'named "weight", expected tn.Tensor from checkpoint but received <class \'list\'>'),
    case("a hook's result", lambda t: hooked(t, "forward_pre", lambda m, args, kwargs: 1, with_kwargs=True),
         RuntimeError, "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got 1"),
    case("a backward hook's result", lambda t: hooked(t, "full_backward", lambda m, into, out: (into[0], into[0])),
         RuntimeError, "Backward hook returned an invalid number of grad_input, got 2, but expected 1"),
    # ---- containers
    case("Sequential: a function", lambda t: t.nn.Sequential(t.nn.ReLU(), print),
         TypeError, "builtin_function_or_method is not a Module subclass"),
    case("Sequential: a list", lambda t: t.nn.Sequential([t.nn.ReLU()]),
         TypeError, "list is not a Module subclass: unpack it with *"),
    case("Sequential: index", lambda t: t.nn.Sequential(t.nn.ReLU())[1],
         IndexError, "index 1 is out of range: there are 1"),
    case("Sequential: insert", lambda t: t.nn.Sequential(t.nn.ReLU()).insert(5, t.nn.ReLU()),
         IndexError, "Index out of range: 5"),
    case("Sequential: times 0", lambda t: t.nn.Sequential(t.nn.ReLU()) * 0,
         ValueError, "Non-positive multiplication factor 0 for <class 'tinynet.nn.containers.Sequential'>"),
    case("ModuleList: a module", lambda t: t.nn.ModuleList(t.nn.ReLU()),
         TypeError, "ModuleList.extend should be called with an iterable, but got ReLU"),
    case("ModuleList: index", lambda t: t.nn.ModuleList([t.nn.ReLU()])[1],
         IndexError, "index 1 is out of range: there are 1"),
    case("ModuleList: called", lambda t: t.nn.ModuleList()(1),
         NotImplementedError, 'Module [ModuleList] is missing the required "forward" function'),
    case("ModuleDict: key", lambda t: t.nn.ModuleDict()["a"], KeyError, "a"),
    case("ModuleDict: a number", lambda t: t.nn.ModuleDict({"a": 3}), TypeError, "int is not a Module subclass"),
    case("ParameterList: a tensor", lambda t: t.nn.ParameterList(t.ones(2)),
         TypeError, "ParameterList.extend should be called with an iterable, but got Tensor"),
    case("ParameterDict: key", lambda t: t.nn.ParameterDict()["a"], KeyError, "a", "PyTorch raises AttributeError"),
    case("ParameterDict: a number for a key", lambda t: t.nn.ParameterDict({1: t.ones(1)}),
         TypeError, "Index given to ParameterDict cannot be used as a .. it is not a string (type is 'int')"),
    # ---- starting values, clipping, pruning
    case("calculate_gain: unknown", lambda t: t.nn.init.calculate_gain("swish"),
         ValueError, "Unsupported nonlinearity swish: there are .. 'relu', 'selu', 'leaky_relu']"),
    case("kaiming_uniform_: mode", lambda t: t.nn.init.kaiming_uniform_(t.empty(3, 3), mode="fan"),
         ValueError, "Mode fan not supported, please use one of ['fan_in', 'fan_out']"),
    case("eye_: a vector", lambda t: t.nn.init.eye_(t.empty(3)),
         ValueError, "Only tensors with 2 dimensions are supported, got shape (3,)"),
    case("init.normal_: negative std", lambda t: t.nn.init.normal_(t.empty(3), std=-1.0),
         RuntimeError, "normal expects std >= 0.0, but found std -1"),
    case("clip_grad_norm_: inf", lambda t: clipped(t, t.tensor([float("inf"), 1.0]), error_if_nonfinite=True),
         RuntimeError, "The total norm of order 2.0 for gradients from .. set `error_if_nonfinite=False`"),
    case("vector_to_parameters: a list", lambda t: t.nn.utils.vector_to_parameters([1.0], [leaf(t)]),
         TypeError, "expected tn.Tensor, but got: list"),
    case("vector_to_parameters: too short", lambda t: t.nn.utils.vector_to_parameters(t.ones(1), [leaf(t)]),
         RuntimeError, "shape '[2]' is invalid for input of size 1, of shape [1]"),
    case("prune: a share above 1", lambda t: prune(t).l1_unstructured(t.nn.Linear(2, 3), "weight", 1.5),
         ValueError, "amount=1.5 should either be a float in the range [0, 1] or a non-negative integer"),
    case("prune: too many", lambda t: prune(t).l1_unstructured(t.nn.Linear(2, 3), "weight", 7),
         ValueError, "amount=7 should be smaller than the number of parameters to prune=6"),
    case("prune.remove: not pruned", lambda t: prune(t).remove(t.nn.Linear(2, 3), "weight"),
         ValueError, "Parameter 'weight' of module .. before pruning can be removed"),
    # ---- optimizers
    *(
        case(f"{name}: {option}", lambda t, name=name, bad={option: -0.1}: getattr(t.optim, name)([leaf(t)], **bad),
             ValueError, f"Invalid {said}: -0.1; it must be >= 0")
        for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam")
        for option, said in (("lr", "learning rate"), ("weight_decay", "weight_decay value"), ("eps", "epsilon value"))
        if (name, option) != ("SGD", "eps")
    ),
    *(
        case(f"{name}: betas {betas}", lambda t, name=name, betas=betas: getattr(t.optim, name)([leaf(t)], betas=betas),
             ValueError, f"Invalid beta parameter at index {k}: {betas[k]}; it must be in [0, 1)")
        for name in ("Adam", "AdamW", "NAdam")
        for k, betas in enumerate([(1.0, 0.9), (0.9, -0.1)])
    ),
    *(
        case(f"Muon: {option}", lambda t, option=option: t.optim.Muon([leaf(t, 2, 2)], **{option: -0.1}),
             ValueError, f"{said} should be >= 0 but is: -0.1")
        for option, said in {"lr": "Learning rate", "weight_decay": "weight decay", "momentum": "momentum"}.items()
    ),
    case("SGD: lr that is nan", lambda t: t.optim.SGD([leaf(t)], lr=float("nan")),
         ValueError, "Invalid learning rate: nan; it must be >= 0", "PyTorch's SGD takes it"),
    case("SGD: lr that is text", lambda t: t.optim.SGD([leaf(t)], lr="0.1"),
         TypeError, "lr must be a number, got '0.1'"),
    case("SGD: two learning rates", lambda t: t.optim.SGD([leaf(t)], lr=t.ones(2)),
         ValueError, "Tensor lr must be 1-element, got one of shape (2,)"),
    case("SGD: momentum", lambda t: t.optim.SGD([leaf(t)], momentum=-0.1),
         ValueError, "Invalid momentum value: -0.1; it must be >= 0"),
    case("SGD: nesterov alone", lambda t: t.optim.SGD([leaf(t)], nesterov=True),
         ValueError, "Nesterov momentum requires a momentum and zero dampening, got momentum=0 and dampening=0"),
    case("Adam: a number for betas", lambda t: t.optim.Adam([leaf(t)], betas=0.9),
         TypeError, "betas must be a pair of numbers in [0, 1), got 0.9"),
    case("Adam: one beta", lambda t: t.optim.Adam([leaf(t)], betas=(0.9,)),
         ValueError, "betas must be a pair of numbers in [0, 1), got 1: (0.9,)", "PyTorch raises IndexError"),
    case("RMSprop: alpha", lambda t: t.optim.RMSprop([leaf(t)], alpha=-0.1),
         ValueError, "Invalid alpha value: -0.1; it must be >= 0"),
    case("RMSprop: momentum", lambda t: t.optim.RMSprop([leaf(t)], momentum=-0.1),
         ValueError, "Invalid momentum value: -0.1; it must be >= 0"),
    case("Adagrad: lr_decay", lambda t: t.optim.Adagrad([leaf(t)], lr_decay=-0.1),
         ValueError, "Invalid lr_decay value: -0.1; it must be >= 0"),
    case("Adagrad: initial_accumulator_value", lambda t: t.optim.Adagrad([leaf(t)], initial_accumulator_value=-1.0),
         ValueError, "Invalid initial_accumulator_value value: -1.0; it must be >= 0"),
    case("NAdam: momentum_decay", lambda t: t.optim.NAdam([leaf(t)], momentum_decay=-1.0),
         ValueError, "Invalid momentum_decay value: -1.0; it must be >= 0"),
    case("Muon: a vector", lambda t: t.optim.Muon([leaf(t)]),
         ValueError, "Muon only supports 2D parameters whereas we found a parameter with size: (2,)"),
    case("Muon: adjust_lr_fn", lambda t: t.optim.Muon([leaf(t, 2, 2)], adjust_lr_fn="adam"),
         ValueError, "Adjust learning rate function adam is not .. 'original' or 'match_rms_adamw'"),
    case("an optimizer of nothing", lambda t: t.optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
    case("an optimizer of one tensor", lambda t: t.optim.SGD(leaf(t)),
         TypeError, "params argument given to the optimizer should be .. but got a Tensor: write [tensor]"),
    case("an optimizer of a module", lambda t: t.optim.SGD(t.nn.Linear(2, 3)),
         TypeError, "params argument given to the optimizer should be .. Linear: write model.parameters()"),
    case("an optimizer of a set", lambda t: t.optim.SGD([{"params": {leaf(t)}}]),
         TypeError, "optimizer parameters need to be organized in .. runs. Please use a list instead"),
    case("an optimizer of a result", lambda t: t.optim.SGD([leaf(t) * 2]),
         ValueError, "can't optimize a non-leaf Tensor: give the tensor it was computed from, or detach() it"),
    case("a group without params", lambda t: t.optim.SGD([{"lr": 0.1}]),
         KeyError, "param_group has no 'params', the tensors that its options are for: ['lr']"),
    case("a group that is a list", lambda t: sgd(t).add_param_group([leaf(t)]),
         TypeError, "param_group must be a dict, but got <class 'list'>"),
    case("some parameters have names", lambda t: t.optim.SGD([("a", leaf(t)), leaf(t)]),
         ValueError, "all optimizer params should be with/without names. Some param names are missing"),
    case("load_state_dict: groups", lambda t: sgd(t).load_state_dict({"state": {}, "param_groups": []}),
         ValueError, "loaded state dict has a different number of parameter groups: 0, the optimizer has 1"),
    case("load_state_dict: parameters", lambda t: sgd(t).load_state_dict(t.optim.SGD([leaf(t), leaf(t)]).state_dict()),
         ValueError, "loaded state dict contains a parameter group that .. 2 parameters in group 0, here 1"),
    # ---- schedules
    case("StepLR: no optimizer", lambda t: schedules(t).StepLR(3, 1), TypeError, "int is not an Optimizer"),
    case("StepLR: never begun", lambda t: schedules(t).StepLR(sgd(t), 1, last_epoch=3),
         KeyError, "param 'initial_lr' is not specified in .. a fresh run leave last_epoch at -1"),
    case("StepLR: step_size 0", lambda t: stepped(t, lambda o: schedules(t).StepLR(o, 0)),
         ZeroDivisionError, "StepLR has step_size=0: it must be the number of steps between two changes"),
    case("LambdaLR: count", lambda t: schedules(t).LambdaLR(sgd(t), [lambda t: 1, lambda t: 1]),
         ValueError, "Expected 1 lr_lambdas, but got 2"),
    case("ConstantLR: factor", lambda t: schedules(t).ConstantLR(sgd(t), factor=2.0),
         ValueError, "Constant multiplicative factor expected to be between 0 and 1, got factor=2.0"),
    case("LinearLR: start_factor", lambda t: schedules(t).LinearLR(sgd(t), start_factor=0.0),
         ValueError, "Starting multiplicative factor expected to be .. 0 and less or equal to 1, got 0.0"),
    case("LinearLR: end_factor", lambda t: schedules(t).LinearLR(sgd(t), end_factor=1.5),
         ValueError, "Ending multiplicative factor expected to be between 0 and 1, got 1.5"),
    case("CosineAnnealingLR: T_max 0", lambda t: stepped(t, lambda o: schedules(t).CosineAnnealingLR(o, 0)),
         ZeroDivisionError, "CosineAnnealingLR has T_max=0: it must be the number of steps from the top down"),
    case("CosineAnnealingWarmRestarts: T_0", lambda t: schedules(t).CosineAnnealingWarmRestarts(sgd(t), 0),
         ValueError, "Expected positive integer T_0, but got 0"),
    case("CosineAnnealingWarmRestarts: T_mult", lambda t: schedules(t).CosineAnnealingWarmRestarts(sgd(t), 1, T_mult=0),
         ValueError, "Expected integer T_mult >= 1, but got 0"),
    case("OneCycleLR: no steps", lambda t: schedules(t).OneCycleLR(sgd(t), 1.0),
         ValueError, "You must define either total_steps OR (epochs AND steps_per_epoch)"),
    case("OneCycleLR: pct_start", lambda t: schedules(t).OneCycleLR(sgd(t), 1.0, total_steps=9, pct_start=2.0),
         ValueError, "Expected float between 0 and 1 pct_start, but got 2.0"),
    case("OneCycleLR: anneal_strategy", lambda t: schedules(t).OneCycleLR(sgd(t), 1.0, 9, anneal_strategy="exp"),
         ValueError, "anneal_strategy must be one of 'cos' or 'linear', instead got exp"),
    case("OneCycleLR: no momentum", lambda t: schedules(t).OneCycleLR(t.optim.Adagrad([leaf(t)]), 1.0, total_steps=9),
         ValueError, "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"),
    case("OneCycleLR: max_lr", lambda t: schedules(t).OneCycleLR(sgd(t), [1.0, 2.0], total_steps=9),
         ValueError, "max_lr must have the same length as .. has 2 values, param_groups has 1"),
    case("OneCycleLR: past the end", lambda t: stepped(t, lambda o: schedules(t).OneCycleLR(o, 1.0, 2), times=4),
         ValueError, "Tried to step 3 times. The specified number of total steps is 2"),
    case("ReduceLROnPlateau: factor", lambda t: schedules(t).ReduceLROnPlateau(sgd(t), factor=1.0),
         ValueError, "Factor should be < 1.0, got 1.0"),
    case("ReduceLROnPlateau: mode", lambda t: schedules(t).ReduceLROnPlateau(sgd(t), mode="least"),
         ValueError, "mode least is unknown! There are 'min' and 'max'"),
    case("ReduceLROnPlateau: min_lr", lambda t: schedules(t).ReduceLROnPlateau(sgd(t), min_lr=[1.0, 2.0]),
         ValueError, "expected 1 min_lrs, got 2"),
    case("ReduceLROnPlateau: no metric", lambda t: schedules(t).ReduceLROnPlateau(sgd(t)).step(),
         TypeError, "ReduceLROnPlateau.step() missing 1 required positional argument: 'metrics'"),
    case("SequentialLR: nothing", lambda t: schedules(t).SequentialLR(sgd(t), [], []),
         ValueError, "SequentialLR expects at least one scheduler, but got no scheduler"),
    case("SequentialLR: milestones", lambda t: sequence(t, sgd(t), milestones=[1]),
         ValueError, "Sequential Schedulers expects number of .. of milestones to be equal to 1"),
    case("SequentialLR: another optimizer", lambda t: sequence(t, sgd(t), of=sgd(t)),
         ValueError, "SequentialLR expects all schedulers to belong to .. 0 .. ), which is different from SGD"),
    case("ChainedScheduler: nothing", lambda t: schedules(t).ChainedScheduler([]),
         ValueError, "ChainedScheduler expects at least one scheduler to be chained, but got no scheduler"),
    # ---- data
    case("TensorDataset: sizes", lambda t: data(t).TensorDataset(t.ones(2), t.ones(3)),
         AssertionError, "Size mismatch between tensors: TensorDataset takes tensors of one length, got [2, 3]"),
    case("DataLoader: batch_size", lambda t: data(t).DataLoader([1], batch_size=0),
         ValueError, "batch_size should be a positive integer value, but got batch_size=0"),
    case("DataLoader: num_workers", lambda t: data(t).DataLoader([1], num_workers=-1),
         ValueError, "num_workers option should be non-negative, got .. each batch when it is asked for"),
    case("DataLoader: prefetch_factor", lambda t: data(t).DataLoader([1], prefetch_factor=2),
         ValueError, "prefetch_factor option could only be specified .. > 0, or leave prefetch_factor None"),
    case("DataLoader: persistent_workers", lambda t: data(t).DataLoader([1], persistent_workers=True),
         ValueError, "persistent_workers option needs num_workers > 0"),
    case("DataLoader: shuffle and sampler", lambda t: data(t).DataLoader([1], shuffle=True, sampler=[0]),
         ValueError, "sampler option is mutually exclusive with shuffle: a sampler is an order"),
    case("DataLoader: batch_sampler and more", lambda t: data(t).DataLoader([1], 2, batch_sampler=[[0]]),
         ValueError, "batch_sampler option is mutually exclusive with .. shuffle, sampler, and drop_last"),
    case("DataLoader: drop_last without batches", lambda t: data(t).DataLoader([1], batch_size=None, drop_last=True),
         ValueError, "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"),
    case("DataLoader: nothing to shuffle", lambda t: data(t).DataLoader([], shuffle=True),
         ValueError, "num_samples should be a positive integer value, but got num_samples=0"),
    case("DataLoader: batch_size set later", lambda t: setattr(data(t).DataLoader([1]), "batch_size", 3),
         ValueError, "batch_size attribute should not be set after .. is initialized: make a new loader"),
    case("RandomSampler: num_samples", lambda t: data(t).RandomSampler([1], num_samples=0),
         ValueError, "num_samples should be a positive integer value, but got num_samples=0"),
    case("BatchSampler: batch_size", lambda t: data(t).BatchSampler([1], 0, False),
         ValueError, "batch_size should be a positive integer value, but got batch_size=0"),
    case("random_split: lengths", lambda t: data(t).random_split([1, 2, 3, 4], [1, 2]),
         ValueError, "Sum of input lengths does not equal the length of .. not negative, fractions sum to 1)"),
    case("ConcatDataset: nothing", lambda t: data(t).ConcatDataset([]),
         AssertionError, "datasets should not be an empty iterable: ConcatDataset joins at least one"),
    case("ConcatDataset: index", lambda t: data(t).ConcatDataset([[1, 2]])[-5],
         ValueError, "index -5 is out of range: absolute value of index .. exceed dataset length, which is 2"),
    case("default_collate: sizes", lambda t: data(t).default_collate([t.ones(2), t.ones(3)]),
         RuntimeError, "stack expects each tensor to be equal size, but got [2] at entry 0 and [3] at entry 1"),
    case("default_collate: kind", lambda t: data(t).default_collate([object()]),
         TypeError, "default_collate: batch must contain tensors, .. knows how to stack these samples"),
]
# fmt: on


every_case = pytest.mark.parametrize(("call", "error", "pattern", "differs"), CASES)


def raised(library, call):
    """The error of the call, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call(library)
        except Exception as error:
            return error
    return None


@every_case
def test_what_is_said(call, error, pattern, differs):
    ours = raised(tn, call)
    assert isinstance(ours, error), repr(ours)
    text = ours.args[0] if isinstance(ours, KeyError) else str(ours)
    assert re.search(pattern, text, re.DOTALL), text


@every_case
def test_pytorch_raises_the_same(call, error, pattern, differs):
    """Ours is of PyTorch's type, or of a narrower one; where the table says that we differ, we do."""
    theirs, ours = raised(pytest.importorskip("torch"), call), raised(tn, call)
    ancestors = {kind.__name__ for kind in type(ours).__mro__}
    assert (type(theirs).__name__.lstrip("_") in ancestors) == (differs is None), repr(theirs)


def test_there_are_many():
    assert len({c.id for c in CASES}) == len(CASES) >= 400


# ---- where in a model it happened
def test_the_modules_path_is_named():
    class Net(tn.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = tn.nn.Sequential(tn.nn.ReLU(), tn.nn.Linear(128, 10))

        def forward(self, x):
            return self.head(x)

    with pytest.raises(RuntimeError, match="expected") as info:
        tn.nn.Sequential(tn.nn.Flatten(), Net())(tn.zeros(64, 120))
    assert info.value.__notes__ == ["in module model.1.head.1 (Linear(in_features=128, out_features=10, bias=True))"]


# ---- a list where a tensor should be
FUNCTIONS = {
    f"{room.__name__}.{name}": value
    for room in (tn, tn.linalg, tn.nn.functional)
    for name, value in vars(room).items()
    if name in room.__all__ and callable(value) and not inspect.isclass(value)
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_fails_inside_on_a_list(name):
    """It says "argument 'input' must be Tensor, not list", not "'list' object has no attribute 'ndim'"."""
    arguments = [0, tn.ones(2), tn.tensor([0, 1])]
    for rest in [(), *product(arguments), *product(arguments, repeat=2)]:
        error = raised(tn, lambda t, rest=rest: FUNCTIONS[name]([1.0, 2.0], *rest))
        assert not isinstance(error, AttributeError), (rest, error)
