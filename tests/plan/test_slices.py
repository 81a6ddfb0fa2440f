"""Lists and ranges are cut as PySpark cuts them.

The table holds the lengths of ``sc.parallelize(..., n).glom()`` that PySpark 4.3 gave on Java 17. Anything
but a range is packed into batches first (of at most 1,024 records), so longer lists are cut at batches.
"""

from __future__ import annotations

from typing import Any

import pytest

from penstock import Context
from penstock.chunk import rows_of
from penstock.plan import Metrics, Task, slices

PYSPARK = """\
list 2 in 3: 0 1 1
list 2 in 7: 0 0 0 1 0 0 1
list 3 in 3: 1 1 1
list 3 in 7: 0 0 1 0 1 0 1
list 5 in 2: 2 3
list 5 in 3: 1 2 2
list 5 in 4: 1 1 1 2
list 5 in 5: 1 1 1 1 1
list 5 in 7: 0 1 1 0 1 1 1
list 5 in 8: 0 1 0 1 1 0 1 1
list 5 in 16: 0 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1
list 7 in 2: 3 4
range 7 in 2: 3 4
list 7 in 3: 2 2 3
range 7 in 3: 2 2 3
list 7 in 4: 1 2 2 2
range 7 in 4: 1 2 2 2
list 7 in 5: 1 1 2 1 2
range 7 in 5: 1 1 2 1 2
list 7 in 7: 1 1 1 1 1 1 1
range 7 in 7: 1 1 1 1 1 1 1
list 7 in 8: 0 1 1 1 1 1 1 1
range 7 in 8: 0 1 1 1 1 1 1 1
list 7 in 16: 0 0 1 0 1 0 1 0 0 1 0 1 0 1 0 1
range 7 in 16: 0 0 1 0 1 0 1 0 0 1 0 1 0 1 0 1
list 10 in 2: 5 5
range 10 in 2: 5 5
list 10 in 3: 3 3 4
range 10 in 3: 3 3 4
list 10 in 4: 2 2 2 4
range 10 in 4: 2 3 2 3
list 10 in 5: 2 2 2 2 2
range 10 in 5: 2 2 2 2 2
list 10 in 7: 1 1 2 1 2 1 2
range 10 in 7: 1 1 2 1 2 1 2
list 10 in 8: 1 1 1 2 1 1 1 2
range 10 in 8: 1 1 1 2 1 1 1 2
list 10 in 16: 0 1 0 1 1 0 1 1 0 1 0 1 1 0 1 1
range 10 in 16: 0 1 0 1 1 0 1 1 0 1 0 1 1 0 1 1
list 16 in 3: 5 5 6
list 16 in 5: 3 3 3 3 4
list 100 in 2: 50 50
list 100 in 3: 33 33 34
list 100 in 4: 25 25 25 25
list 100 in 5: 20 20 20 20 20
list 100 in 7: 14 14 14 14 14 14 16
list 100 in 8: 12 12 12 12 12 12 12 16
list 100 in 16: 6 6 6 6 6 6 6 6 6 6 6 6 6 6 6 10
list 1000 in 3: 333 333 334
list 1000 in 7: 142 142 142 142 142 142 148
list 1023 in 3: 341 341 341
list 1023 in 5: 204 204 204 204 207
list 1024 in 3: 341 341 342
list 1024 in 5: 204 204 204 204 208
list 1025 in 2: 512 513
range 1025 in 2: 512 513
list 1025 in 3: 341 341 343
range 1025 in 3: 341 342 342
list 1025 in 4: 256 256 256 257
range 1025 in 4: 256 256 256 257
list 1025 in 5: 205 205 205 205 205
range 1025 in 5: 205 205 205 205 205
list 1025 in 7: 146 146 146 146 146 146 149
range 1025 in 7: 146 146 147 146 147 146 147
list 1025 in 8: 128 128 128 128 128 128 128 129
range 1025 in 8: 128 128 128 128 128 128 128 129
list 1025 in 16: 64 64 64 64 64 64 64 64 64 64 64 64 64 64 64 65
range 1025 in 16: 64 64 64 64 64 64 64 64 64 64 64 64 64 64 64 65
list 2047 in 2: 1023 1024
list 2047 in 3: 682 682 683
list 2047 in 4: 511 511 511 514
list 2047 in 7: 292 292 292 292 292 292 295
list 2048 in 3: 682 682 684
list 2048 in 7: 292 292 292 292 292 292 296
list 2049 in 2: 1024 1025
list 2049 in 3: 683 683 683
list 2049 in 4: 512 512 512 513
list 2049 in 7: 292 292 292 292 292 292 297
list 3000 in 2: 1024 1976
range 3000 in 2: 1500 1500
list 3000 in 3: 1000 1000 1000
range 3000 in 3: 1000 1000 1000
list 3000 in 4: 750 750 750 750
range 3000 in 4: 750 750 750 750
list 3000 in 7: 428 428 428 428 428 428 432
range 3000 in 7: 428 429 428 429 428 429 429
list 4096 in 3: 1024 1024 2048
list 4096 in 7: 585 585 585 585 585 585 586
list 5000 in 2: 2048 2952
list 5000 in 3: 1024 2048 1928
list 5000 in 4: 1024 1024 1024 1928
list 5000 in 7: 714 714 714 714 714 714 716
list 10000 in 2: 5120 4880
list 10000 in 3: 3072 3072 3856
list 10000 in 4: 2048 3072 2048 2832
list 10000 in 7: 1024 1024 2048 1024 2048 1024 1808
"""


def cases() -> list[tuple[str, int, int, list[int]]]:
    found = []
    for line in PYSPARK.splitlines():
        asked, lengths = line.split(": ")
        kind, size, _, count = asked.split()
        found.append((kind, int(size), int(count), [int(length) for length in lengths.split()]))
    return found


@pytest.mark.parametrize(("kind", "size", "count", "lengths"), cases())
def test_as_pyspark_cuts(kind: str, size: int, count: int, lengths: list[int]) -> None:
    records = range(size) if kind == "range" else list(range(size))
    task = Task(0, count, Metrics())
    parts = [list(rows_of(part.read(task))) for part in slices(records, count)]
    assert list(map(len, parts)) == lengths
    assert [row for part in parts for row in part] == list(records)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_nothing_is_cut_into_empty_partitions(sc: Context, count: int) -> None:
    for nothing in ([], (), range(0), "", {}, iter(())):
        assert sc.parallelize(nothing, count).glom().collect() == [[]] * count


def test_whatever_can_be_iterated(sc: Context) -> None:
    assert sc.parallelize("abcd", 3).glom().collect() == [["a"], ["b"], ["c", "d"]]
    assert sc.parallelize((number for number in (1, 2, 3)), 2).glom().collect() == [[1], [2, 3]]
    assert sc.parallelize({"a": 1, "b": 2}, 1).collect() == ["a", "b"]
    assert sc.parallelize(range(3, 30, 4), 3).glom().collect() == [[3, 7], [11, 15], [19, 23, 27]]
    assert sc.parallelize(range(9, 0, -4), 2).glom().collect() == [[9], [5, 1]]


def test_the_records_are_as_they_were_when_they_were_given(sc: Context) -> None:
    """As in PySpark, which pickles them at once."""
    records: list[Any] = [[1], {"a": [2]}, (3, [4])]
    rdd = sc.parallelize(records, 2)
    records[0].append("later")
    records[1]["a"].append("later")
    records[2][1].append("later")
    records.append("later")
    assert rdd.collect() == [[1], {"a": [2]}, (3, [4])]


def test_what_was_collected_may_be_changed(sc: Context) -> None:
    rdd = sc.parallelize([[1]], 1)
    rdd.collect()[0].append(2)
    rdd.take(1)[0].append(2)
    next(rdd.toLocalIterator()).append(2)
    assert rdd.collect() == [[1]]
