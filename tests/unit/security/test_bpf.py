"""Any answers become a program that gives them, however long it is and wherever one's edges are."""

import itertools

import classic_bpf
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nsbox.security import bpf

OWN, OTHER, REFUSED = 0xC000003E, 0x40000003, 0x50001
ANY = (1 << 64) - 1
LOW = (1 << 32) - 1
EDGES = [0, 1, LOW - 1, LOW, LOW + 1, LOW << 32, 1 << 63, ANY - 1, ANY]

VALUES = st.sampled_from(EDGES) | st.integers(0, 9) | st.integers(0, ANY)
MASKS = st.sampled_from([0, LOW, LOW << 32, ANY]) | VALUES
INDEXES = st.sampled_from([0, 0, 0, 1, 5])  # often the same, whose words need not be loaded again
TESTS = st.builds(
    lambda index, comparison, value, mask, fits: (
        index,
        comparison,
        value & mask if comparison == "&==" and fits else value,
        mask,
    ),
    INDEXES,
    st.sampled_from((*bpf.COMPARISONS, "&==", "&==")),
    VALUES,
    MASKS,
    st.sampled_from([True, True, False]),
)
RETURNS = st.sampled_from([0, 0x50000, 0x50001, 0x7FFF0000, 0x80000000])
RULES = st.lists(st.tuples(st.lists(TESTS, max_size=4).map(tuple), RETURNS), max_size=5)
ANSWERS = st.tuples(RULES.map(tuple), RETURNS)


def expected(answers, number, arguments):
    """Take the rules one after the other."""
    rules, otherwise = answers[max(first for first in answers if first <= number)]
    for tests, value in rules:
        if all(classic_bpf.holds(arguments[index], *test) for index, *test in tests):
            return value
    return otherwise


def near(values):
    """Return numbers beside some, in either half."""
    steps = (0, 1, -1, 1 << 32, -1 << 32, 1 << 63)
    return sorted({(value + step) & ANY for value in values for step in steps})


def check(answers, draw, calls=3):
    """Ask a program about the numbers at all edges, with arguments at the edges of the tests."""
    code = classic_bpf.decode(bpf.encode(bpf.program(OWN, REFUSED, answers)))
    rules = [rule for decision, _ in answers.values() for rule in decision]
    asked = [(value, mask) for tests, _ in rules for _, _, value, mask in tests]
    compared = near({value | left for value, mask in asked for left in (0, ~mask & ANY)} | {0})
    some = st.sampled_from(compared) | VALUES
    for arguments in draw(st.lists(st.tuples(*[some] * 6), min_size=1, max_size=calls)):
        for first in answers:
            for number in {max(first - 1, 0), first, first + 1, LOW}:
                found = classic_bpf.answer(code, number, arguments, OWN)
                assert found == expected(answers, number, arguments), (number, arguments)
            assert classic_bpf.answer(code, first, arguments, OTHER) == REFUSED
    return code


@given(
    st.dictionaries(st.integers(1, 40) | st.integers(1, LOW - 1), ANSWERS, max_size=12),
    ANSWERS,
    st.data(),
)
def test_a_number_is_answered_by_the_rules_of_its_run(answers, first, data):
    check({0: first} | answers, data.draw)


@given(TESTS, VALUES, st.data())
def test_a_comparison_is_one_of_all_64_bits(test, argument, data):
    index, _, value, mask = test
    chosen = data.draw(st.sampled_from([*near([value, value & mask]), argument]))
    arguments = tuple(chosen if place == index else ~chosen & ANY for place in range(6))
    code = classic_bpf.decode(bpf.encode(bpf.program(OWN, REFUSED, {0: ((((test,), 1),), 2)})))
    assert classic_bpf.answer(code, 7, arguments, OWN) == (
        1 if classic_bpf.holds(chosen, *test[1:]) else 2
    )


# Of few numbers, so that tests often agree in a word, a value or what comes after.
NARROW = st.tuples(
    st.just(0),
    st.sampled_from([*bpf.COMPARISONS, *["&=="] * 8]),
    st.integers(0, 3),
    st.sampled_from([1, 3, 7, LOW]),
)
NARROW_RULES = st.lists(
    st.tuples(st.lists(NARROW, min_size=1, max_size=2).map(tuple), st.integers(0, 2)), max_size=3
)


def masked(value, mask, result):
    return ((0, "&==", value, mask),), result


@settings(max_examples=400)
@example([((masked(2, 3, 1), masked(5, LOW, 2)), 0)])  # the second finds the first's remainder
@example([((masked(1, mask, 1),), 0) for mask in (1, 3, LOW)])  # alike but for the mask
@given(st.lists(st.tuples(NARROW_RULES.map(tuple), st.just(0)), min_size=1, max_size=4))
def test_what_is_loaded_and_what_is_shared_changes_no_answer(decisions):
    answers = dict(enumerate(decisions))
    code = classic_bpf.decode(bpf.encode(bpf.program(OWN, REFUSED, answers)))
    for number in answers:
        for argument in (*range(9), 1 << 32 | 5, LOW):
            arguments = (argument, *[ANY] * 5)
            found = classic_bpf.answer(code, number, arguments, OWN)
            assert found == expected(answers, number, arguments), (number, argument)


def varied(answer, turn):
    """Return an answer that shares no instruction but returns with those of other turns."""
    rules, otherwise = answer
    return tuple(
        (tuple((index, how, value ^ turn << 4, mask) for index, how, value, mask in tests), value)
        for tests, value in rules
    ), otherwise


@given(st.lists(ANSWERS, min_size=1, max_size=4), st.integers(30, 150), st.data())
def test_a_long_program_answers_too(some, count, data):
    answers = {3 * turn: varied(some[turn % len(some)], turn) for turn in range(count)}
    check(answers, data.draw, calls=1)


@pytest.mark.parametrize("tests", [1, 4, 300])
def test_no_jump_is_too_far(tests):
    def rule(turn, value):
        return tuple((place % 6, "==", turn << 40 | place, ANY) for place in range(tests)), value

    count = 120 // tests + 2
    answers = {turn: ((rule(turn, 5), rule(turn, 6)), turn % 3) for turn in range(count)}
    answers |= {turn: ((rule(turn, 7),), 8) for turn in range(count, 2 * count)}
    code = classic_bpf.decode(bpf.encode(bpf.program(OWN, REFUSED, answers)))
    assert len(code) > 2 * 255
    assert any(operation == 0x05 for operation, *_ in code)
    for turn in range(2 * count):
        for arguments in ((0,) * 6, tuple(turn << 40 | place for place in range(6))):
            found = classic_bpf.answer(code, turn, arguments, OWN)
            assert found == expected(answers, turn, arguments)


def length(*rules):
    """Return how many instructions rules take, returns left out."""
    program = bpf.program(OWN, REFUSED, {0: (rules, 1)})
    return len([one for one in program if one[0] != 0x06]) - 2  # the architecture's


@pytest.mark.parametrize(
    ("test", "instructions"),
    [
        ((0, "&==", 5, LOW), 2),  # load, compare
        ((0, "&==", 5, LOW << 32 | 5), 5),
        ((0, "&==", 0, 0xF0), 2),  # load, any bit
        ((0, "&==", 0x10, 0xF0), 3),  # load, and, compare
        ((0, "&==", 0x10 << 32, 0xF0 << 32), 3),
        ((0, "&==", 0, 0), 0),
        ((0, "&==", 1, 0), 0),
        ((0, "==", 5, ANY), 4),
        ((0, "!=", 5, ANY), 4),
        ((0, ">", 5, ANY), 4),
        ((0, "<=", 5 << 32, ANY), 5),
    ],
)
def test_a_comparison_takes_no_more_than_it_needs(test, instructions):
    assert length(((test,), 2)) == instructions


def test_what_is_the_same_is_there_once():
    rules = [(((1, "&==", value, LOW),), 2) for value in (3, 4, 5)]
    assert length(*rules) == 1 + len(rules)  # one load
    program = bpf.program(OWN, 1, {n: (tuple(rules) if n % 2 else (), 1) for n in range(20)})
    alone = bpf.program(OWN, 1, {0: ((), 1), 1: (tuple(rules), 1)})
    assert len(program) == len(alone) + 18  # comparisons of the number
    assert [one[3] for one in program if one[0] == 0x06].count(2) == 1


def test_neighbours_of_one_answer_are_one_run():
    same = [bpf.program(OWN, 1, dict.fromkeys(range(last), ((), 5))) for last in (1, 100)]
    assert same[0] == same[1]
    assert len(same[0]) == 4  # the architecture, two returns


def test_a_number_is_found_in_few_steps():
    code = bpf.program(OWN, 1, {n: ((), n % 2) for n in range(512)})
    depths = [0] * (len(code) + 1)
    for place, (operation, if_true, if_false, _) in enumerate(code):
        ends = [] if operation == 0x06 else [place + 1 + if_true, place + 1 + if_false]
        ends = [place + 1 + code[place][3]] if operation == 0x05 else ends
        for end in ends:
            depths[end] = max(depths[end], depths[place] + 1)
    assert max(depths) <= 3 + 9 + 3  # architecture and number, the tree, jumps that help others out


def test_a_program_begins_with_what_decides_though_nothing_is_left_to_ask():
    never = (((0, "&==", 1, 0),), 9)
    for refused, otherwise in itertools.product((1, 2), repeat=2):
        code = bpf.program(OWN, refused, {0: ((never,), otherwise)})
        assert classic_bpf.answer(code, 3, (0,) * 6, OWN) == otherwise
        assert classic_bpf.answer(code, 3, (0,) * 6, OTHER) == refused


def test_a_comparison_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="comparison"):
        bpf.program(OWN, 1, {0: (((((0, "=~", 1, ANY),), 2),), 1)})
