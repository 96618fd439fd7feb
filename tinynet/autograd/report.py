"""What a gradient check found, and how it is told."""
from __future__ import annotations

import math
from dataclasses import dataclass, field

UNKNOWN = "no common mistake looks like this: compare the rule with the formula on paper."


@dataclass
class WrongElement:
    """One element of an input whose gradient is wrong."""

    index: tuple[int, ...]
    x: float
    analytic: float
    numeric: float
    relative_error: float


@dataclass
class InputCheck:
    """What was found for one input. `status`: PASS; FAIL; KINK (right, but at some elements only between the
    slopes from the left and from the right); SKIPPED (it does not require grad). `worst`: the largest
    relative error away from kinks; nan if all elements are at kinks, where there is no slope. That is
    |analytic - numeric| over the larger of the two, but at least over a thousandth of the input's largest
    slope, over 1e8 times what rounding does, and over 3e-8 (in float64): below these a difference says
    nothing."""

    label: str
    shape: tuple[int, ...]
    dtype: str
    status: str = "PASS"
    worst: float = 0.0
    along: bool = False  # one random direction was right, so single elements were not looked at
    looked_at: int = 0
    wrong: int = 0
    kinks: int = 0
    elements: list[WrongElement] = field(default_factory=list)  # the worst five
    diagnosis: str = ""

    def __str__(self) -> str:
        error = f"worst relative error {'-' if math.isnan(self.worst) else f'{self.worst:.1e}'}"
        at_kinks = f"{self.kinks} of {self.looked_at} elements at a kink"
        said = {"SKIPPED": "does not require grad", "PASS": error, "KINK": f"{error}, {at_kinks}",
                "FAIL": f"{self.wrong} of {self.looked_at} elements wrong, {error}"}[self.status]
        said += ", along a random direction" * self.along
        return f"{self.label:<13} {self.dtype + str(list(self.shape)):<21} {self.status:<8} {said}"

    def details(self) -> list[str]:
        """The worst elements, a line each."""
        head = f"{'index':<14}{'x':>14}{'analytic':>16}{'numeric':>16}  relative error"
        rows = [f"{e.index!s:<14}{e.x:>14.6g}{e.analytic:>16.8g}{e.numeric:>16.8g}  {e.relative_error:.1e}"
                for e in self.elements]
        return [f"    {line}" for line in (head, *rows)]


@dataclass
class GradcheckResult:
    """The outcome of gradcheck: true if every gradient is right; print it to see the report.

    >>> result = tn.gradcheck(tn.exp, tn.zeros(2, dtype=tn.float64, requires_grad=True))
    >>> result.worst < 1e-6, [c.status for c in result.inputs]
    (True, ['PASS'])
    """

    name: str
    order: int
    inputs: list[InputCheck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # what is wrong with func as a whole
    culprit: str = ""  # what can be said of the ops it is made of
    cause: Exception | None = None  # what backward raised

    def __bool__(self) -> bool:
        return not self.problems and all(c.status != "FAIL" for c in self.inputs)

    def fail(self, cause: Exception) -> None:
        """Note that backward raised this."""
        self.problems.append(f"backward raised: {cause}")
        self.cause = cause

    @property
    def worst(self) -> float:
        """The largest relative error of any input; inf if there is a problem, nan if all is at kinks."""
        known = [c.worst for c in self.inputs if c.status != "SKIPPED" and not math.isnan(c.worst)]
        return math.inf if self.problems else max(known, default=math.nan if self.inputs else 0.0)

    def __str__(self) -> str:
        check = "gradcheck: the gradient" if self.order == 1 else "gradgradcheck: the second derivative"
        lines = [f"{check} of {self.name} is {'right' if self else 'wrong'}."]
        lines += [f"  {p}" for p in self.problems]
        if self.inputs and not self:
            lines.append("  analytic: what backward gives; numeric: the slope measured by moving each "
                         "element a little.\n")
        lines += [f"  {c}" for c in self.inputs]
        for c in self.inputs:
            if c.elements:
                lines += [f"\n  {c.label}, the worst elements:", *c.details()]
                if c.diagnosis or "at fault" not in self.culprit:
                    lines.append(f"  Diagnosis: {c.diagnosis or UNKNOWN}")
        return "\n".join([*lines, *[f"\n  {self.culprit}"] * bool(self.culprit)])

    __repr__ = __str__


class GradcheckError(RuntimeError):
    """A gradient is wrong. `result` is the GradcheckResult, whose report is the message."""

    def __init__(self, result: GradcheckResult) -> None:
        super().__init__(str(result))
        self.result = result
