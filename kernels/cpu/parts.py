"""Parts: functions that are compiled for whatever calls them.

Numba would optimise each function by itself and make it machine code, and then do the same again for all that calls it.
Here a part is only put into the language of the compiler underneath (LLVM); a kernel and all its parts are optimised
once, as one, which takes half the time and gives the same code.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, CompilerBase, CompileResult, Flags, compile_extra
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA, TranslateByteCode

# Sums may be reordered, and a product and a sum be one instruction; but NaN and infinity travel as in NumPy: never
# "nnan" or "ninf". Division by zero gives infinity, not an exception.
OPTIONS: dict[str, Any] = {"fastmath": {"contract", "reassoc", "nsz", "arcp", "afn"}, "error_model": "numpy"}


class Part(JITCodeLibrary):
    """The code of one function, and the list of its own parts."""

    def add_linking_library(self, library: Any) -> None:
        """Note a part, and its parts; nothing is linked yet."""
        self._linking_libraries += [library, *library._linking_libraries]

    def _optimize_functions(self, module: Any) -> None:
        pass

    def finalize(self) -> None:
        """Done: without the optimisation that Numba would begin here, as it is the whole that is optimised."""
        self._finalized = True

    def modules(self) -> list[Any]:
        """All the code, of each part once."""
        return [library._get_module_for_linking() for library in dict.fromkeys([self, *self._linking_libraries])]


class Steps(CompilerBase):
    """Those of Numba's steps from Python to LLVM that kernels need."""

    def define_pipelines(self) -> list[Any]:
        """The steps, in their order."""
        steps = PassManager("kernel")
        for step in (TranslateByteCode, FixupArgs, IRProcessing, GenericRewrites, ReconstructSSA, NopythonTypeInference,
                     PreLowerStripPhis, IRLegalization, NativeLowering, NoPythonBackend):
            steps.add_pass(step, step.__name__)
        steps.finalize()
        return [steps]


def part(function: Callable[..., Any], arguments: tuple[Any, ...], parallel: bool = False) -> CompileResult:
    """A function, compiled for arguments of these types as far as a part is. parallel: it holds a `prange`."""
    flags, target = Flags(), cpu_target.target_context
    cpu_target.options.parse_as_flags(flags, {**OPTIONS, "parallel": parallel})
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True  # neither Python nor C calls it
    return compile_extra(target.typing_context, target, function, arguments, None, flags, {},
                         Part(target.codegen(), function.__name__), Compiler if parallel else Steps)


def call(builder: Any, callee: CompileResult, values: Any) -> None:
    """Write a call of a part that returns nothing."""
    target, signature = cpu_target.target_context, callee.signature
    target.call_conv.call_function(builder, target.declare_function(builder.module, callee.fndesc),
                                   signature.return_type, signature.args, values)
