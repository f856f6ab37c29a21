"""autograd's own tests hold minigrad, where its sdist is there; and the judge that runs them catches what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import autograds_tests


def test_minigrad_passes_autograds_own_tests():
    if not autograds_tests.SDIST.is_dir():
        pytest.skip("autograd's own tests: no sdist here; `make autograd-sdist` downloads it where there is a network")
    outcomes = autograds_tests.run(autograds_tests.SDIST, autograds_tests.SCORED + autograds_tests.NOT_SCORED)
    assert autograds_tests.score(outcomes) >= autograds_tests.WANTED, "\n" + autograds_tests.table(outcomes)


QUESTIONS = """
import autograd.numpy as np
import autograd.numpy.random as npr
import pytest
from autograd import grad
from autograd.test_util import check_grads, combo_check

def test_backward():
    check_grads(np.sin, modes=["rev"], order=1)(0.5)

def test_forward():
    check_grads(np.sin, modes=["fwd"], order=1)(npr.randn(2, 3))

def test_second_order():
    check_grads(np.sin, modes=["rev"])(npr.randn(3))

def test_in_combinations():
    combo_check(lambda x, scale: scale * np.sin(x), [0])([0.5, npr.randn(2)], scale=[1.0, 2.0])

def test_in_containers():
    check_grads(lambda d: [np.sin(d["a"]), d["b"][0]])({"a": npr.randn(2), "b": (1.0,)})

def test_gradient_itself():
    assert abs(grad(np.sin)(0.5) - np.cos(0.5)) < 1e-12
"""
PLANTED = """
import pytest
import minigrad as mg

FAULTS = {faults}

@pytest.fixture(params=FAULTS, autouse=True)
def sin_of_another_rule(request, monkeypatch):
    value, rule = FAULTS[request.param]

    @mg.primitive
    def sin(xp, x):
        return eval(value), (x,), lambda xp, g, x: eval(rule)

    monkeypatch.setattr(mg.ops, "sin", sin)
"""


def put(folder: Path, questions: str, planted: str = "") -> list[autograds_tests.Outcome]:
    (folder / "test_questions.py").write_text(questions)
    (folder / "conftest.py").write_text(planted)
    return autograds_tests.run(folder, ("test_questions.py",))


def became(outcomes: list[autograds_tests.Outcome], what: str, fault: str = "") -> set[str]:
    result = [o.name.removeprefix("test_") for o in outcomes if o.status == what]
    return {name.removesuffix(f"[{fault}]") for name in result if not fault or name.endswith(f"[{fault}]")}


EVERY = {"backward", "forward", "second_order", "in_combinations", "in_containers", "gradient_itself"}
OF_SECOND_ORDER = {"second_order", "in_combinations", "in_containers"}
FAULTS = {
    "none": ("xp.sin(x)", "g * xp.cos(x)", set()),
    "sign": ("xp.sin(x)", "g * -xp.cos(x)", EVERY),
    "three digits are right": ("xp.sin(x)", "g * xp.cos(x) * 1.001", EVERY),
    "value": ("1.001 * xp.sin(x)", "g * xp.cos(x)", EVERY - {"gradient_itself"}),
    "no rule": ("xp.sin(x)", "None", EVERY),
    "no second derivative": ("xp.sin(x)", "g * xp.cos(x.detach() if xp is mg.ops else x)", OF_SECOND_ORDER),
    "second derivative": (
        "xp.sin(x)",
        "g * (xp.cos(x) + 0.1 * (x - x.detach()) if xp is mg.ops else xp.cos(x))",
        OF_SECOND_ORDER,
    ),
}
"""Values and rules of a sine, and the questions that they must fail."""


def test_a_wrong_rule_is_caught(tmp_path):
    planted = {name: (value, rule) for name, (value, rule, _) in FAULTS.items()}
    outcomes = put(tmp_path, QUESTIONS, PLANTED.format(faults=planted))
    for fault, (_, _, caught) in FAULTS.items():
        assert became(outcomes, "failed", fault) == caught, fault
        assert became(outcomes, "passed", fault) == EVERY - caught, fault
    failures = [o for o in outcomes if o.status == "failed"]
    assert autograds_tests.score(outcomes) == pytest.approx(1 - len(failures) / len(outcomes))
    table = autograds_tests.table(outcomes)
    assert all(f"{o.name}: {o.reason}" in table for o in failures)


def test_complex_points_are_counted_and_do_not_make_a_test_pass(tmp_path):
    outcomes = put(
        tmp_path,
        """
import autograd.numpy as np
from autograd.test_util import check_grads, combo_check

def test_some_complex():
    combo_check(np.sin, [0])([0.5, 0.5 + 1j, np.ones(2) * 1j])

def test_all_complex():
    check_grads(np.sin)(0.5 + 1j)

def test_a_complex_value_on_the_way():
    check_grads(lambda x: np.fft.fft(x))(np.array([1.0, 2.0, 4.0]))

def test_without_a_mode():
    check_grads(np.sin, modes=[])(0.5)
""",
    )
    assert became(outcomes, "passed") == {"some_complex", "a_complex_value_on_the_way"}
    assert became(outcomes, "failed") == {"all_complex", "without_a_mode"}
    assert [(o.checked, o.complex) for o in outcomes] == [(1, 2), (0, 1), (1, 0), (0, 0)]


def test_what_is_missing_fails_and_does_not_skip(tmp_path):
    outcomes = put(
        tmp_path,
        """
import pytest
import autograd.numpy as np
from autograd.test_util import check_grads

def test_no_such_operation():
    check_grads(np.nextafter)(0.5, 1.0)

def test_skipped():
    pytest.skip("not today")

@pytest.fixture
def broken():
    raise RuntimeError("no fixture")

def test_broken(broken):
    pass
""",
    )
    assert became(outcomes, "failed") == {"no_such_operation", "skipped", "broken"}


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ("import nowhere", "not collected: .*nowhere"),
        ("", "no tests in test_questions.py"),
        ("def f(:", "not collected"),
    ],
)
def test_a_file_that_does_not_run_is_an_error(tmp_path, questions, message):
    with pytest.raises(autograds_tests.BrokenRun, match=message):
        put(tmp_path, questions)


def test_a_test_listed_as_complex_must_be(tmp_path, monkeypatch):
    monkeypatch.setitem(autograds_tests.COMPLEX, "test_questions.py", {"test_backward": "it is not"})
    with pytest.raises(autograds_tests.BrokenRun, match="test_backward is listed as complex"):
        put(tmp_path, QUESTIONS)
    monkeypatch.setitem(autograds_tests.COMPLEX, "test_questions.py", {"test_gone": "it was"})
    with pytest.raises(autograds_tests.BrokenRun, match="missing: test_gone"):
        put(tmp_path, QUESTIONS)


def test_the_process_uses_the_shim_and_not_autograd(tmp_path):
    outcomes = put(
        tmp_path,
        """
import sys
import autograd, autograd.numpy, autograd.numpy.linalg, autograd.core, autograd.tracer

def test_where():
    import minigrad
    loaded = [m for name, m in sys.modules.items() if name.split(".")[0] == "autograd" and m.__name__ != "numpy.random"]
    assert all("autograd_shim" in m.__file__ for m in loaded), loaded

def test_tensors_inside_and_numbers_outside():
    import minigrad, numpy
    inside = []
    autograd.grad(lambda x: inside.append(x) or x * 1.0)(2.0)
    assert isinstance(inside[0], minigrad.Tensor) and inside[0].dtype == numpy.float64
    assert isinstance(autograd.grad(autograd.numpy.sin)(2.0), float)
    assert isinstance(autograd.numpy.sin(numpy.ones(2)), numpy.ndarray)
    assert isinstance(autograd.jacobian(autograd.numpy.sin)(numpy.ones(2)), numpy.ndarray)
""",
    )
    assert became(outcomes, "passed") == {"where", "tensors_inside_and_numbers_outside"}
