"""Work that a thread does ahead of time."""

import threading

import pytest

from utils.ahead import ahead


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
