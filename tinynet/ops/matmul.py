"""Products that contract an axis.

matmul and contract (Einstein's sum) are the primitives, each its own derivative; the others arrange them.
"""
from __future__ import annotations

import math
from string import ascii_letters
from typing import Any

import numpy as np

from tinynet import kernels
from tinynet.autograd.fit import unbroadcast
from tinynet.dtypes import Array, bool_, name
from tinynet.errors import broadcast_error, check_dims
from tinynet.ops._primitive import primitive
from tinynet.ops.diagonals import diagonal
from tinynet.ops.shape import expand, mT, permute

Shape = tuple[int, ...]
_C_NAMES = {"float32": "float", "float64": "double"}  # as PyTorch's message has them


# ---- matrix products
@primitive
def matmul(xp: Any, input: Array, other: Array) -> Array:
    """out[..., i, j] = sum_k input[..., i, k] other[..., k, j]; leading axes broadcast.

    A vector is a row on the left, a column on the right; the result lacks that axis. Dtypes must be equal.

    >>> tn.matmul(tn.tensor([[1., 2.], [3., 4.]]), tn.tensor([1., 1.]))
    tensor([3., 7.])
    """
    n, m = _ndim("matmul", input), _ndim("matmul", other)
    if not n or not m:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {n}D and {m}D")
    _check_dtypes("matmul", input, other)
    if input.shape[-1] != other.shape[0 if m == 1 else -2]:
        raise RuntimeError(_no_product(input.shape, other.shape))
    if n > 2 >= m:  # one product of a tall matrix is faster than many of small ones
        return kernels.run("matmul", xp, tall(input), other).reshape(input.shape[:-1] + other.shape[1:])
    try:
        return kernels.run("matmul", xp, input, other)
    except ValueError:
        raise broadcast_error("matmul", [input.shape[:-2], other.shape[:-2]]) from None


def tall(a: Any) -> Any:
    """a as one matrix: all axes but the last made one."""
    return a if a.ndim == 2 else a.reshape((math.prod(a.shape[:-1]), a.shape[-1]))


def _fit(g: Any, shape: Shape) -> Any:
    return g if g.shape == shape else unbroadcast(g, shape)


def _matmul_input(g: Any, input_shape: Shape, other: Any) -> Any:
    """g other^T"""
    if other.ndim == 1:
        return g.reshape((*g.shape, 1)) * other
    if len(input_shape) == 1:  # give the row its axis back
        g = g.reshape((*g.shape[:-1], 1, g.shape[-1]))
    return _fit(matmul(g, mT(other)), input_shape)


def _matmul_other(g: Any, input: Any, other_shape: Shape) -> Any:
    """input^T g"""
    if len(other_shape) == 1:
        return matmul(g.reshape((math.prod(g.shape),)), tall(input))
    if input.ndim == 1:
        input, g = tall(input), g.reshape((*g.shape[:-1], 1, g.shape[-1]))
    if len(other_shape) == 2:  # one matrix has met all rows
        return matmul(mT(tall(input)), tall(g))
    return _fit(matmul(mT(input), g), other_shape)


matmul.vjp(input=_matmul_input, other=_matmul_other)


def _ndim(op: str, a: Any) -> int:
    if not hasattr(a, "dtype"):
        raise TypeError(f"{op}(): every operand must be Tensor, not {type(a).__name__}")
    return a.ndim


def _check_dtypes(op: str, *arrays: Any) -> None:
    first = arrays[0].dtype
    for a in arrays:
        if a.dtype != first:
            one, two = (_C_NAMES.get(d.name, d.name) for d in (first, a.dtype))
            raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {one} != {two}; "
                               f"convert one with .to(dtype)")
    if first == bool_:
        raise NotImplementedError(f"{op} is not implemented for bool; convert it, e.g. with .float()")


def _no_product(a: Shape, b: Shape) -> str:
    rows = -2 if len(b) > 1 else -1
    shapes = " and ".join("x".join(map(str, s)) for s in (a, b))
    text = (f"mat1 and mat2 shapes cannot be multiplied ({shapes}): axis -1 of the first ({a[-1]}) must be "
            f"as long as axis {rows} of the second ({b[rows]})")
    if len(b) > 1 and a[-1] == b[-1]:
        text += "; the second transposed (.mT) would fit"
    elif len(a) > 1 and a[-2] == b[rows]:
        text += "; the first transposed (.mT) would fit"
    return text


def _check_ndims(op: str, **wanted: tuple[Any, int]) -> None:
    for argument, (a, n) in wanted.items():
        if _ndim(op, a) != n:
            kind = {1: "1D: a vector", 2: "2D: a matrix", 3: "3D: a batch of matrices"}[n]
            raise RuntimeError(f"{op}: expected {argument} to be {kind}, but got {a.ndim}D: {list(a.shape)}")


def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices, and of nothing else (see matmul).

    >>> tn.mm(tn.tensor([[1., 2.]]), tn.tensor([[3.], [4.]]))
    tensor([[11.]])
    """
    _check_ndims("mm", input=(input, 2), mat2=(mat2, 2))
    return matmul(input, mat2)


def bmm(input: Any, mat2: Any) -> Any:
    """The products of two batches of matrices: (b, n, k) and (b, k, m) give (b, n, m).

    >>> tn.bmm(tn.ones(2, 1, 3), tn.ones(2, 3, 1)).reshape(2)
    tensor([3., 3.])
    """
    _check_ndims("bmm", input=(input, 3), mat2=(mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(f"bmm: input has {input.shape[0]} matrices, mat2 has {mat2.shape[0]}")
    return matmul(input, mat2)


def mv(input: Any, vec: Any) -> Any:
    """Matrix times vector.

    >>> tn.mv(tn.tensor([[1., 2.], [3., 4.]]), tn.tensor([1., 0.]))
    tensor([1., 3.])
    """
    _check_ndims("mv", input=(input, 2), vec=(vec, 1))
    return matmul(input, vec)


def dot(input: Any, tensor: Any) -> Any:
    """sum_k input[k] tensor[k], of two vectors.

    >>> tn.dot(tn.tensor([1., 2.]), tn.tensor([3., 4.]))
    tensor(11.)
    """
    _check_ndims("dot", input=(input, 1), tensor=(tensor, 1))
    return matmul(input, tensor)


def outer(input: Any, vec2: Any) -> Any:
    """out[i, j] = input[i] vec2[j], of two vectors.

    >>> tn.outer(tn.tensor([1, 2]), tn.tensor([3, 4]))
    tensor([[3, 4],
            [6, 8]])
    """
    _check_ndims("outer", input=(input, 1), vec2=(vec2, 1))
    return input.reshape((input.shape[0], 1)) * vec2


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta input + alpha mat1 mat2, input broadcast to the product's shape; with beta = 0 input is ignored.

    >>> tn.addmm(tn.tensor([1., 2.]), tn.eye(2), tn.ones(2, 2), alpha=10)
    tensor([[11., 12.],
            [11., 12.]])
    """
    return _blend("addmm", input, mm(mat1, mat2), beta, alpha)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta input + alpha bmm(batch1, batch2), input broadcast to the product's shape; beta = 0 ignores it.

    >>> tn.baddbmm(tn.tensor(1.), tn.ones(1, 1, 2), tn.ones(1, 2, 1), beta=5)
    tensor([[[7.]]])
    """
    return _blend("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def _blend(op: str, input: Any, product: Any, beta: float, alpha: float) -> Any:
    if input.dtype != product.dtype:
        raise RuntimeError(f"{op}: input and the matrices must have the same dtype, but got "
                           f"{name(input.dtype)} and {name(product.dtype)}")
    if product.dtype.kind != "f" and (isinstance(alpha, float) or isinstance(beta, float)):
        raise RuntimeError(f"{op}: For integral input tensors, alpha and beta must not be floats")
    input = expand(input, shape=product.shape)
    product = product if alpha == 1 else product * alpha
    return product if beta == 0 else product + (input if beta == 1 else input * beta)


# ---- Einstein's sum
@primitive
@np.errstate(all="ignore")
def contract(xp: Any, *operands: Array, spec: str) -> Array:
    """einsum with every letter spelt out: once in a term, and again in another term or the result."""
    return xp.einsum(spec, *operands, optimize=True)


def _contract_rule(g: Any, i: int, operands: Any, spec: str) -> Any:
    """The result takes the place of the i-th operand, and the i-th operand that of the result."""
    terms, result = spec.split("->")
    others = terms.split(",")
    target = others.pop(i)
    return contract(g, *operands[:i], *operands[i + 1:], spec=",".join([result, *others]) + "->" + target)


contract.vjp(operands=_contract_rule)


def einsum(equation: str, *operands: Any) -> Any:
    """Products of elements, summed over the letters that the result does not name: "ij,jk->ik" is matmul.

    A letter twice in a term takes the diagonal; "..." stands for the axes not named, which broadcast. Without
    "->" the result has the letters that occur once, in alphabetical order.

    >>> tn.einsum("ii", tn.tensor([[1., 2.], [3., 4.]]))
    tensor(5.)
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not operands or not isinstance(equation, str):
        raise ValueError("einsum(): must specify the equation string and at least one operand")
    terms, result = _subscripts(equation, [_ndim("einsum", x) for x in operands])
    sizes = _sizes(terms, [x.shape for x in operands])
    xs = list(operands)
    for k, term in enumerate(terms):
        for c in dict.fromkeys(term):
            while term.count(c) > 1:
                i, j = term.index(c), term.rindex(c)
                xs[k], term = diagonal(xs[k], dim1=i, dim2=j), term[:i] + term[i + 1:j] + term[j + 1:] + c
        term = "".join(c for c, n in zip(term, xs[k].shape, strict=True) if n == sizes[c])
        xs[k], terms[k] = xs[k].reshape(tuple(sizes[c] for c in term)), term  # broadcast axes are gone
    for k, term in enumerate(terms):
        alone = [c for c in term if c not in result and sum(c in t for t in terms) == 1]
        if alone:
            xs[k] = xs[k].sum(axis=tuple(map(term.index, alone)))
            terms[k] = "".join(c for c in term if c not in alone)
    if len(xs) == 1:
        return permute(xs[0], dims=tuple(map(terms[0].index, result)))
    _check_dtypes("einsum", *xs)
    return contract(*xs, spec=",".join(terms) + "->" + result)


def _subscripts(equation: str, ndims: list[int]) -> tuple[list[str], str]:
    """The terms and the result of an equation, with letters for every "..." and a result if none is given."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        many = "more" if len(terms) < len(ndims) else "fewer"
        raise RuntimeError(f"einsum(): {many} operands were provided than specified in the equation: "
                           f"{len(ndims)} for '{equation}'")
    for c in "".join(term.replace("...", "", 1) for term in (*terms, right)):
        if c not in ascii_letters:
            raise RuntimeError(f"einsum(): invalid subscript '{c}' in '{equation}': subscripts must be in "
                               f"[a-zA-Z], with at most one ellipsis '...' in a term")
    covered = []  # how many axes each "..." stands for
    for k, (term, n) in enumerate(zip(terms, ndims, strict=True)):
        named, dotted = len(term.replace("...", "")), "..." in term
        if named > n or (named < n and not dotted):
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({named}) does not match "
                               f"the number of dimensions ({n}) for operand {k}"
                               f"{'' if dotted else ' and no ellipsis was given'}")
        covered.append(n - named)
    dots = "".join(c for c in ascii_letters if c not in equation)[:max(covered)]
    terms = [term.replace("...", dots[len(dots) - n:]) for term, n in zip(terms, covered, strict=True)]
    letters = "".join(terms)
    once = [c for c in sorted(set(letters) - set(dots)) if letters.count(c) == 1]
    result = right.replace("...", dots) if arrow else dots + "".join(once)
    for c in result:
        if c not in letters:
            raise RuntimeError(f"einsum(): output subscript {c} does not appear in the equation's terms")
        if result.count(c) > 1:
            raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
    return terms, result


def _sizes(terms: list[str], shapes: list[Shape]) -> dict[str, int]:
    """The size of each letter. Size 1 broadcasts, except between the axes of one operand."""
    sizes: dict[str, int] = {}
    for k, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        own: dict[str, int] = {}
        for c, n in zip(term, shape, strict=True):
            if own.setdefault(c, n) != n:
                raise RuntimeError(f"einsum(): subscript {c} is repeated for operand {k} but the sizes don't "
                                   f"match, {n} != {own[c]}")
            if n != 1 and sizes.get(c, 1) not in (1, n):
                raise RuntimeError(f"einsum(): subscript {c} has size {n} for operand {k} which does not "
                                   f"broadcast with previously seen size {sizes[c]}: '{','.join(terms)}' "
                                   f"with shapes {', '.join(map(str, shapes))}")
            sizes[c] = n if sizes.get(c, 1) == 1 else sizes[c]
    return sizes


def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Sum over pairs of axes: the last `dims` of a with the first of b, or a's dims[0] with b's dims[1].

    >>> tn.tensordot(tn.ones(2, 3), tn.ones(3, 2), dims=([0, 1], [1, 0]))
    tensor(6.)
    """
    n, m = _ndim("tensordot", a), _ndim("tensordot", b)
    if isinstance(dims, int):
        if not 0 <= dims <= min(n, m):
            raise RuntimeError(f"tensordot expects 0 <= dims <= {min(n, m)} here, but got dims={dims}")
        dims = list(range(n - dims, n)), list(range(dims))
    ours, theirs = check_dims(list(dims[0]), n), check_dims(list(dims[1]), m)
    if len(ours) != len(theirs):
        raise RuntimeError(f"tensordot: both dimension lists should have same length: {ours} and {theirs}")
    first, second = list(ascii_letters[:n]), list(ascii_letters[n:n + m])
    for i, j in zip(ours, theirs, strict=True):
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise RuntimeError(f"contracted dimensions need to match, but first has size {a.shape[i]} in dim "
                               f"{i} and second has size {b.shape[j]} in dim {j}")
        second[j] = first[i]  # paired axes share a letter
    kept = [c for c in first + second if (c in first) != (c in second)]
    return einsum(f"{''.join(first)},{''.join(second)}->{''.join(kept)}", a, b)


def inner(input: Any, other: Any) -> Any:
    """Sum over the last axis of both; a 0-d operand just multiplies.

    >>> tn.inner(tn.tensor([1., 2.]), tn.tensor([[3., 4.], [5., 6.]]))
    tensor([11., 17.])
    """
    if not _ndim("inner", input) or not _ndim("inner", other):
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner() the last dimension must match on both input tensors but got shapes "
                           f"{list(input.shape)} and {list(other.shape)}")
    return tensordot(input, other, dims=([-1], [-1]))
