"""Images unfolded into the windows that slide over them, and windows folded back into images: each the transpose, and
so the derivative, of the other."""
from __future__ import annotations

from typing import Any

from tinynet import kernels
from tinynet.autograd.variable import Variable
from tinynet.dtypes import Array, name
from tinynet.kernels.windows import output_size as windows_along
from tinynet.ops._primitive import primitive
from tinynet.ops.conv import Pair, numbers

Sizes = tuple[int, ...]


# ---- the primitives: all options are pairs of numbers, all images are in a batch
@primitive
def im2col(xp: Any, a: Array, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """The pixels under each window in a column: out[n, (c, i, j), (r, s)], the element (i, j) of window (r, s) in
    channel c."""
    return kernels.run("im2col", xp, a, size=size, stride=stride, padding=padding, dilation=dilation)


@primitive
def col2im(xp: Any, g: Array, *, image: Pair, size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """Images of `image` pixels, with each entry of such columns added to the pixel it would be a copy of."""
    return kernels.run("col2im", xp, g, image=image, size=size, stride=stride, padding=padding, dilation=dilation)


im2col.vjp(a=lambda g, a_shape, size, stride, padding, dilation:
           col2im(g, image=a_shape[2:], size=size, stride=stride, padding=padding, dilation=dilation))
col2im.vjp(g=lambda u, size, stride, padding, dilation:
           im2col(u, size=size, stride=stride, padding=padding, dilation=dilation))


# ---- what users call
def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The pixels under each window, of all channels, as one column: (N, C · kh · kw, windows). A convolution is a
    product with these columns (im2col).

    input (N, C, H, W) or (C, H, W), with zeros in its border. RuntimeError for sizes that do not fit.

    >>> tn.nn.functional.unfold(tn.tensor([[[1., 2., 3.], [4., 5., 6.]]]), 2)
    tensor([[1., 2.],
            [2., 3.],
            [4., 5.],
            [5., 6.]])
    """
    options = _options("unfold", kernel_size, dilation, padding, stride)
    _check_input("unfold", input, (3, 4))
    rows, columns = _blocks(input.shape[-2:], options)
    if min(rows, columns) < 1:
        raise RuntimeError(f"Given input with spatial size {input.shape[-2:]}, {_said(options)}, calculated shape of "
                           f"the array of sliding blocks as {rows, columns}, but its components must be at least one: "
                           f"unfold needs a larger input, more padding or a smaller kernel")
    out = im2col(input if input.ndim == 4 else input.reshape((1, *input.shape)), **options)
    return out if input.ndim == 4 else out.reshape(out.shape[1:])


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Images (N, C, *output_size) from columns (N, C · kh · kw, windows) as unfold makes them: each entry is added to
    the pixel it would be a copy of, so a pixel under several windows is a sum. Without a batch, (C · kh · kw, windows)
    gives one image. RuntimeError for sizes that do not fit.

    >>> tn.nn.functional.fold(tn.tensor([[1., 2.], [2., 3.], [4., 5.], [5., 6.]]), (2, 3), 2)
    tensor([[[ 1.,  4.,  3.],
             [ 4., 10.,  6.]]])
    """
    options = _options("fold", kernel_size, dilation, padding, stride)
    image = numbers("fold", "output_size", output_size)
    _check_input("fold", input, (2, 3))
    (channels, windows), (kh, kw), (rows, columns) = input.shape[-2:], options["size"], _blocks(image, options)
    if channels % (kh * kw):
        raise RuntimeError(f"Expected size of input's dimension {input.ndim - 2} to be divisible by the product of "
                           f"kernel_size, but got input.size({input.ndim - 2})={channels} and kernel_size={kh, kw}")
    if min(rows, columns) < 1 or windows != rows * columns:
        raise RuntimeError(f"Given output_size={image}, {_said(options)}, expected size of input's dimension "
                           f"{input.ndim - 1} to match the calculated number of sliding blocks {rows} * {columns} = "
                           f"{rows * columns}, but got input.size({input.ndim - 1})={windows}")
    out = col2im(input if input.ndim == 3 else input.reshape((1, *input.shape)), image=image, **options)
    return out if input.ndim == 3 else out.reshape(out.shape[1:])


# ---- checks
def _options(op: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> dict[str, Sizes]:
    return {"size": numbers(op, "kernel_size", kernel_size, 2, 1), "stride": numbers(op, "stride", stride, 2, 1),
            "padding": numbers(op, "padding", padding, 2, 0), "dilation": numbers(op, "dilation", dilation, 2, 1)}


def _blocks(image: Sizes, options: dict[str, Sizes]) -> list[int]:
    """How many rows of windows there are, and how many columns."""
    return [windows_along(*axis) for axis in zip(image, *options.values(), strict=True)]


def _said(options: dict[str, Sizes]) -> str:
    return ", ".join(f"{'kernel_size' if what == 'size' else what}={pair}" for what, pair in options.items())


def _check_input(op: str, input: Any, ndims: Pair) -> None:
    if not isinstance(input, Variable):
        raise TypeError(f"{op}(): argument 'input' must be Tensor, not {type(input).__name__}")
    shape, dtype, (alone, batch) = list(input.array.shape), input.array.dtype, ndims
    if len(shape) not in ndims or 0 in shape[-alone:]:
        raise RuntimeError(f"{op}: Expected {alone}D or {batch}D (batch mode) tensor with possibly 0 batch size and "
                           f"other non-zero dimensions for input, but got: {shape}")
    if dtype.kind in "iu":
        raise NotImplementedError(f"{op} is not implemented for {name(dtype)}; use input.float()")
