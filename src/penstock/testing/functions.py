"""Functions for random graphs: total, deterministic, and many of them change what they are given.

Each takes any record, so that any graph of them runs. Those that change their argument are the idioms
that PySpark programs are full of: ``a.extend(b) or a``, ``d.update(x=1) or d``, an ``append`` within
``map``. Every one of them is right as long as nobody else sees the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from penstock.chunk import portable_hash

__all__ = [
    "EXPANDERS",
    "KEY_FUNCTIONS",
    "LIST_REDUCERS",
    "MAPPERS",
    "MAPPINGS",
    "PAIR_MAPPERS",
    "PARTITION_FUNCTIONS",
    "PREDICATES",
    "REDUCERS",
    "UPDATES",
    "Poisoned",
    "boxed",
    "collected_in_place",
    "dropped_in_place",
    "emptied_in_place",
    "gathered_in_place",
    "joined_in_place",
    "lists_of",
    "long_enough",
    "refuse_poison",
    "second",
    "size_of",
    "text_of",
    "value_as_list",
    "value_twice",
    "whatever",
]


class Poisoned(Exception):
    """What :func:`refuse_poison` raises."""


def refuse_poison(record: Any) -> Any:
    """The record; ``Poisoned`` if ``poison`` occurs in its text."""
    if "poison" in repr(record):
        raise Poisoned(repr(record))
    return record


def size_of(record: Any) -> int:
    """How long its text is: a number that any record has."""
    return len(repr(record))


def marked_in_place(record: Any) -> Any:
    """The record, with a mark in every list and dict that it is or holds."""
    if isinstance(record, list):
        record.append("marked")
    elif isinstance(record, dict):
        record.update(marked=1)
    elif isinstance(record, tuple):
        for item in record:
            marked_in_place(item)
    return record


def emptied_in_place(record: Any) -> Any:
    """The record, with its lists and dicts emptied."""
    if isinstance(record, (list, dict)):
        record.clear()
    elif isinstance(record, tuple):
        for item in record:
            emptied_in_place(item)
    return record


def boxed(record: Any) -> list[Any]:
    """The record in a list."""
    return [record]


def text_of(record: Any) -> str:
    """The first forty characters of its text: the text of a text of a text doubles every time."""
    return repr(record)[:40]


def doubled(record: Any) -> tuple[Any, str]:
    """The record beside its text."""
    return (record, text_of(record))


MAPPERS = (marked_in_place, emptied_in_place, boxed, doubled, size_of, text_of)


def second(pair: Any) -> Any:
    """The value of a pair: a function that reads items and does nothing else."""
    return pair[1]


def swapped_text(pair: Any) -> Any:
    """The pair the other way round, with a text as its key."""
    return (text_of(pair[1]), pair[0])


def value_twice(pair: Any) -> Any:
    """A pair whose value is both halves."""
    return (pair[0], (pair[1], pair[0]))


def value_in_a_list(pair: Any) -> Any:
    """A pair with its value in a list."""
    return (pair[0], [pair[1]])


def value_marked(pair: Any) -> Any:
    """The pair with its value changed in place: only an item is read, and that item is changed."""
    return (pair[0], marked_in_place(pair[1]))


def value_appended(pair: Any) -> Any:
    """The pair with something appended to its value in place, if that is a list."""
    value = pair[1]
    if isinstance(value, list):
        value.append("appended")
    return (pair[0], value)


PAIR_MAPPERS = (value_twice, value_in_a_list, swapped_text, value_marked, value_appended)


def whatever(record: Any) -> bool:
    """True."""
    return True


def long_enough(record: Any) -> bool:
    """Whether its text is longer than six characters."""
    return size_of(record) > 6


def odd_after_a_mark(record: Any) -> bool:
    """Whether the size is odd, of a record that is marked meanwhile."""
    return size_of(marked_in_place(record)) % 2 == 1


PREDICATES = (long_enough, bool, odd_after_a_mark)


def letters(record: Any) -> list[str]:
    """The first three characters of its text."""
    return list(repr(record)[:3])


def with_its_size(record: Any) -> Iterator[Any]:
    """Its size and the record, one after the other.

    Not the other way round: what is yielded may be changed by the next step before this one goes on.
    """
    yield size_of(record)
    yield record


def its_items(record: Any) -> Iterable[Any]:
    """What a list or tuple holds; nothing of anything else."""
    return record if isinstance(record, (list, tuple)) else ()


EXPANDERS = (letters, with_its_size, its_items)


def by_size(record: Any) -> int:
    """Its size, of which there are few."""
    return size_of(record) % 4


def by_kind(record: Any) -> str:
    """The name of its class."""
    return type(record).__name__


KEY_FUNCTIONS = (by_size, by_kind, size_of, text_of)


def hash_halved(key: Any) -> int:
    """A partition for a key; equal keys have the same."""
    return portable_hash(key) // 2


def hash_negated(key: Any) -> int:
    """Another one, negative as a rule."""
    return -portable_hash(key)


PARTITION_FUNCTIONS = (hash_halved, hash_negated)


def nested(one: Any, other: Any) -> list[Any]:
    """Both in a list: not associative, so it shows what was folded with what."""
    return [one, other]


def gathered_in_place(one: Any, other: Any) -> Any:
    """The other one appended, if one is a list."""
    if isinstance(one, list):
        one.append(other)
        return one
    return [one, other]


def updated_in_place(one: Any, other: Any) -> Any:
    """``d.update(...) or d``."""
    if isinstance(one, dict):
        one.update({"other": other})
        return one
    return {"one": one, "other": other}


def first_of(one: Any, other: Any) -> Any:
    """The one that was there."""
    return one


def last_of(one: Any, other: Any) -> Any:
    """The one that came."""
    return other


REDUCERS = (nested, gathered_in_place, updated_in_place, first_of, last_of)


def value_as_list(value: Any) -> list[Any]:
    """A value as a list of its own, with which associative functions work."""
    return [value]


def joined_in_place(one: list[Any], other: list[Any]) -> list[Any]:
    """``a.extend(b) or a``: associative."""
    return one.extend(other) or one  # type: ignore[func-returns-value]


def joined(one: list[Any], other: list[Any]) -> list[Any]:
    """A new list of both: associative."""
    return one + other


def longer_of(one: list[Any], other: list[Any]) -> list[Any]:
    """The longer list, of equal ones the first: associative."""
    return other if len(other) > len(one) else one


def dropped_in_place(one: list[Any], other: list[Any]) -> list[Any]:
    """The inverse of :func:`joined_in_place`: without as many from the front."""
    del one[: len(other)]
    return one


LIST_REDUCERS = (joined_in_place, joined, longer_of, first_of, last_of)


def lists_of(groups: tuple[Iterable[Any], ...]) -> tuple[list[Any], ...]:
    """The iterables of ``cogroup`` as lists."""
    return tuple(map(list, groups))


def collected_in_place(values: list[Any], state: Any) -> Any:
    """A state that grows in place, and the list of values with it."""
    values.append("seen")
    if isinstance(state, list):
        state.extend(values)
        return state
    return [state, *values]


def counted(values: list[Any], state: Any) -> Any:
    """A number, gone when it has reached five."""
    total = (state if isinstance(state, int) else 0) + len(values)
    return None if total >= 5 else total


def only_with_news(values: list[Any], state: Any) -> Any:
    """The values of this batch; the key is gone if there are none."""
    return values or None


def over_all_keys(keys: Iterator[tuple[Any, list[Any], Any]]) -> Iterator[tuple[Any, Any]]:
    """The newest value of each key, under its kind as well."""
    for key, values, state in keys:
        newest = values[-1] if values else state
        yield (key, newest)
        if size_of(key) % 3 == 0:
            yield (by_kind(key), size_of(newest))


UPDATES = (collected_in_place, counted, only_with_news, over_all_keys)


def remembered_in_place(key: Any, value: Any, state: Any) -> Any:
    """A list of values that grows in place; all of it is emitted, and changed where it comes out."""
    held = state.getOption()
    if state.isTimingOut():
        return ["over", key, held]
    if isinstance(held, list):
        held.append(value)
    state.update(held if isinstance(held, list) else [value])
    return state.get()


def changed_without_update(key: Any, value: Any, state: Any) -> Any:
    """What it does to a state that it does not set is lost."""
    if not state.exists():
        state.update([key])
    elif not state.isTimingOut():
        marked_in_place(state.get())
    return None if size_of(value) % 2 else (key, state.get())


def gone_at_three(key: Any, value: Any, state: Any) -> Any:
    """A number, and no state any more when it has reached three; a key that is over says so."""
    if state.isTimingOut():
        return ("over", key, state.get())
    total = state.getOption() if isinstance(state.getOption(), int) else 0
    if total == 2:
        state.update(3)
        state.remove()
        return (key, state.exists())
    state.update(total + 1)
    return None


MAPPINGS = (remembered_in_place, changed_without_update, gone_at_three)
