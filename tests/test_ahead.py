"""Work that threads do ahead of time."""

import threading

import pytest

from utils.ahead import ahead, map_ahead


def test_the_items_are_the_same_and_in_order():
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    assert list(ahead(iter([]))) == []
    assert list(ahead(iter([None, None]))) == [None, None]


def test_the_next_item_is_computed_in_another_thread_while_one_is_used():
    threads, began = [], [threading.Event() for _ in range(3)]

    def items():
        for number in range(3):
            threads.append(threading.current_thread())
            began[number].set()
            yield number

    for number in ahead(items()):
        if number < 2:
            assert began[number + 1].wait(10)
    assert len(threads) == 3 and threading.current_thread() not in threads


def test_no_more_than_one_is_computed_ahead():
    computed = []

    def items():
        for number in range(10):
            computed.append(number)
            yield number

    several = ahead(items())
    assert next(several) == 0
    several.close()  # waits for the one that was begun
    assert computed == [0, 1]


def test_an_error_comes_with_its_item():
    def items():
        yield 1
        raise ValueError("the second one")

    several = ahead(items())
    assert next(several) == 1
    with pytest.raises(ValueError, match="the second one"):
        next(several)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("length", [0, 1, 7])
def test_results_come_in_the_order_of_their_items(threads, length):
    squares = map_ahead(lambda number: number**2, range(length), threads)
    assert list(squares) == [number**2 for number in range(length)]


def test_several_items_are_computed_at_once():
    together = threading.Barrier(2, timeout=10)  # that breaks, unless two threads meet

    def meet(number):
        together.wait()
        return number

    assert list(map_ahead(meet, range(4), threads=2)) == [0, 1, 2, 3]


def test_no_more_than_one_per_thread_is_computed_ahead():
    computed = []
    several = map_ahead(computed.append, range(10), threads=2)
    next(several)
    several.close()  # waits for those that were begun
    assert set(computed) <= {0, 1, 2}


def test_an_error_comes_with_its_result():
    several = map_ahead(lambda number: 1 // number, (1, 0, 1), threads=2)
    assert next(several) == 1
    with pytest.raises(ZeroDivisionError):
        next(several)
