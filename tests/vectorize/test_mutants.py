"""The proof catches a tracer that is wrong: each mutant breaks one rule, and some case or function shows it.

Mutants of single kernels are in ``test_kernel_mutants.py``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow.compute as pc
import pytest

from penstock.vectorize import paths, programs, purity, rewriting, symbols, tracing, twins
from penstock.vectorize.expressions import Call, Constant
from penstock.vectorize.guards import Guards
from penstock.vectorize.kernels import all_kernels, call
from tests.vectorize import test_guards, test_holes
from tests.vectorize.test_sameness import check, prove_all

Mutate = Callable[[pytest.MonkeyPatch], None]

pytestmark = pytest.mark.long


def kernel(name: str, *takes: type, run: Callable[..., Any]) -> Mutate:
    """The kernel does this instead."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        patch.setitem(all_kernels(), (name, takes), replace(all_kernels()[name, takes], run=run))

    mutate.__name__ = f"kernel_{name}"
    return mutate


def values_that_nobody_reads_are_not_computed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tracing, "dropped", lambda made, kept: ())


def values_that_a_later_step_drops_are_not_computed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(programs, "dropped", lambda made, kept: ())


def refusals_are_not_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(programs.Evaluation, "any_true", lambda self, expression: False)


def a_branch_is_always_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tracing, "_chosen", lambda condition, yes, no: yes)


def branches_change_places(patch: pytest.MonkeyPatch) -> None:
    plain = tracing._chosen
    patch.setattr(tracing, "_chosen", lambda condition, yes, no: plain(condition, no, yes))


def branches_are_not_negated(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tracing, "negated", lambda condition: condition)


def constants_are_compared_by_value(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Constant, "__post_init__", lambda self: self._identify(hash(self.value)))


def floats_are_told_apart_by_value(patch: pytest.MonkeyPatch) -> None:
    def identify(self: Any) -> None:
        self._identify(self.value)

    patch.setattr(Constant, "__post_init__", identify)


def special_methods_are_looked_up(patch: pytest.MonkeyPatch) -> None:
    def plain(code: Any, outermost: bool) -> None:
        return None

    patch.setattr(twins, "impurity", plain)


def formatted_texts_may_go_anywhere(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(purity, "_formats_flow_to_the_return", lambda instructions: True)
    purity.impurity.cache_clear()


def texts_are_formatted_with_symbols(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rewriting, "_without_text_formatting", lambda code: code)
    rewriting.rewritten.cache_clear()


def a_formatted_text_is_always_true(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(paths.Path, "has_placeholders", lambda self, text: False)


def captured_values_never_change(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tracing, "fingerprint", lambda function: getattr(function, "__code__", function))


def looked_up_values_never_change(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Guards, "hold", lambda self: True)


def None_is_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("penstock.vectorize.instances._Maybe.forked", lambda self: self._value)


def bools_are_no_ints(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(symbols, "_as_int", lambda operand: Constant(int, 1))


def nothing_is_put_right_where_no_row_comes(patch: pytest.MonkeyPatch) -> None:
    def run(self: Any, expression: Call, operands: list[Any]) -> Any:
        try:
            return expression.kernel.run(*operands, *expression.parameters)
        except programs.REFUSALS:
            return call("if_else", False, operands[0], operands[0])

    patch.setattr(programs.Evaluation, "_run", run)


def masks_select_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(programs.Evaluation, "_selected", lambda self, expression: self.value(expression.of))


def half_surrogates_are_let_through(patch: pytest.MonkeyPatch) -> None:
    plain = symbols.lifted
    patch.setattr(symbols, "lifted", lambda value: None if type(value) is str else plain(value))


MUTANTS: list[Mutate] = [
    kernel("add", int, int, run=lambda a, b: call("add", a, b)),
    kernel("mul", int, int, run=lambda a, b: call("multiply", a, b)),
    kernel("truediv", int, int, run=lambda a, b: call("divide", _rounded(a), _rounded(b))),
    kernel("lt", int, float, run=lambda a, b: call("less", _rounded(a), b)),
    kernel("neg", float, run=lambda a: call("subtract", _zero(a), a)),
    kernel("eq", float, float, run=lambda a, b: call("equal", a, b)),
    kernel("str.strip", str, run=lambda a: pc.ascii_trim_whitespace(a)),
    kernel("str.upper", str, run=lambda a: call("ascii_upper", a)),
    kernel("round_to", float, run=lambda a, digits: pc.round(a, digits)),
    values_that_nobody_reads_are_not_computed,
    values_that_a_later_step_drops_are_not_computed,
    refusals_are_not_asked,
    a_branch_is_always_taken,
    branches_change_places,
    branches_are_not_negated,
    floats_are_told_apart_by_value,
    constants_are_compared_by_value,
    special_methods_are_looked_up,
    formatted_texts_may_go_anywhere,
    texts_are_formatted_with_symbols,
    a_formatted_text_is_always_true,
    captured_values_never_change,
    looked_up_values_never_change,
    None_is_not_asked_for,
    bools_are_no_ints,
    nothing_is_put_right_where_no_row_comes,
    masks_select_nothing,
    half_surrogates_are_let_through,
]


def _rounded(column: Any) -> Any:
    return pc.cast(column, "float64", safe=False)


def _zero(column: Any) -> Any:
    return call("multiply", column, 0.0)


def forget() -> None:
    """What was traced before, by a tracer that was right, or wrong."""
    tracing._known.clear()
    programs.Chain.of.cache_clear()
    purity.impurity.cache_clear()
    rewriting.rewritten.cache_clear()


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_a_wrong_tracer_is_found_out(monkeypatch: pytest.MonkeyPatch, mutate: Mutate) -> None:
    found = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forget()
        mutate(monkeypatch)
        try:
            suite(monkeypatch)
        except Exception:
            found = True
        finally:
            monkeypatch.undo()
            forget()
    assert found, "nothing of the proof notices it"


def suite(patch: pytest.MonkeyPatch) -> None:
    """The proof, in small."""
    tables = {"map": test_holes.CASES, "filter": test_holes.FILTERS, "flatMap": test_holes.ITEMS}
    for what, cases in tables.items():
        for source, rows in cases.values():
            check([(what, test_holes.function_of(source))], rows, source)
    for steps in test_holes.STEPS:
        check(steps, test_holes.INTS, "steps")
    test_holes.test_a_nan_that_was_copied_by_the_step_before_is_one_object_to_python()
    with pytest.MonkeyPatch.context() as inner:
        for name, test in list(vars(test_guards).items()):
            if name.startswith("test_"):
                wants = test.__code__.co_varnames[: test.__code__.co_argcount]
                if wants in ((), ("monkeypatch",)):
                    test(*(inner,) * len(wants))
    prove_all(1, 2_000)


def test_the_proof_in_small_finds_nothing_in_the_tracer_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        suite(monkeypatch)
