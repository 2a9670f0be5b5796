import numpy as np
import pytest
from keras import ops

from smallvit.book.teach import check_function, check_value, seal


@pytest.mark.parametrize(
    ("answer", "printed"),
    [
        (..., "Not answered yet"),
        (64, "Correct."),
        (np.float32(64), "Correct."),
        (63, "Not yet: 63 is not it. Count again."),
        ([64, 64], "Not yet: [64, 64] is not it."),
        (np.zeros((5, 5)), "Not yet: an array of shape (5, 5) is not it."),
    ],
)
def test_a_value_is_checked(capsys, answer, printed):
    check_value(answer, 64, "Count again.")
    assert capsys.readouterr().out.startswith(printed)


@pytest.mark.parametrize(
    ("answer", "printed"),
    [
        (lambda a, b: ..., "Not answered yet"),
        (lambda a, b: ops.add(a, b), "Correct."),
        (lambda a, b: a * b, "Not yet: for (1, 2) it gives 2; expected 3."),
    ],
)
def test_a_function_is_checked_case_by_case(capsys, answer, printed):
    check_function(answer, lambda a, b: a + b, [(0, 0), (1, 2)])
    assert capsys.readouterr().out.startswith(printed)


@pytest.mark.parametrize(
    ("right", "answers"),
    [
        (64, [64, 64.0, np.float32(64), 63.99999999999]),
        (162_996, [162_996, np.int64(162_996)]),
        (0.234375, [0.234375, np.float32(0.234375), 0.23437501]),
        (1 / 3, [np.float32(1 / 3)]),
        (0, [0, -0.0]),
        ((1, 2.5), [(1, 2.5), [1, 2.5], np.array([1, 2.5])]),
    ],
)
def test_a_sealed_value_is_known_by_its_digits(capsys, right, answers):
    for answer in answers:
        check_value(answer, seal(right), "Count again.")
        assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize("wrong", [63, 65, 64.001, (64,), [64, 64], -64])
def test_another_value_does_not_fit_the_seal(capsys, wrong):
    check_value(wrong, seal(64), "Count again.")
    assert capsys.readouterr().out.startswith("Not yet")
    check_value(..., seal(64), "Count again.")
    assert capsys.readouterr().out.startswith("Not answered yet")


def test_a_seal_is_the_same_tomorrow():
    assert seal(64) == "1d051a31"


def test_a_function_is_checked_by_seals(capsys):
    cases, seals = [(1, 2), (3, 4)], [seal(3), seal(7)]
    check_function(lambda a, b: a + b, seals, cases)
    check_function(lambda a, b: a + a + 1, seals, cases)
    check_function(lambda a, b: a * b, seals, cases)
    check_function(lambda a, b: ..., seals, cases)
    first, second, third, fourth = capsys.readouterr().out.splitlines()
    assert first == second == "Correct."
    assert third == "Not yet: for (1, 2) it gives 2."
    assert fourth.startswith("Not answered yet")


def test_a_function_may_change_its_arguments(capsys):
    def double(x):
        x *= 2
        return x

    cases = [(np.ones(3),)]
    check_function(double, lambda x: 2 * x, cases)
    check_function(double, lambda x: x, cases)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Correct." and second.startswith("Not yet")
    assert (cases[0][0] == 1).all()


@pytest.mark.parametrize("expected", [64, seal(64)])
@pytest.mark.parametrize(
    "answer", [None, "many", lambda: 64, [[1, 2], [3]], float("nan"), float("inf"), {1: 2}]
)
def test_what_is_no_number_is_not_yet_right(capsys, answer, expected):
    check_value(answer, expected, "Count again.")
    assert capsys.readouterr().out.startswith("Not yet: ")
    right = [expected] if isinstance(expected, str) else lambda n: n
    check_function(lambda n: answer, right, [(64,)])
    assert capsys.readouterr().out.startswith("Not yet: for (64) it gives ")


@pytest.mark.parametrize("expected", [(1, 2), seal((1, 2))])
def test_half_an_answer_is_not_answered_yet(capsys, expected):
    check_value((1, ...), expected, "Count again.")
    assert capsys.readouterr().out.startswith("Not answered yet")


@pytest.mark.parametrize("right", [1_000_000, 3_000_000])
def test_sealed_integers_count_exactly(capsys, right):
    check_value(right + right // 1_000_000, seal(right), "Count again.")
    assert capsys.readouterr().out.startswith("Not yet")
