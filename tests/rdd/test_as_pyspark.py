"""A script of RDD expressions beside what PySpark 4.3 (Java 17, Python 3.11, ``local[2]``) answered."""

from __future__ import annotations

from operator import add
from typing import Any

import pytest

from penstock import Context, StorageLevel

# An expression, and indented under it the repr of PySpark's answer.
SAME = """\
P(range(3,30,4),3).glom().collect()
    [[3, 7], [11, 15], [19, 23, 27]]
P((1,2,3),2).glom().collect()
    [[1], [2, 3]]
P({3,1,2},2).glom().collect()
    [[1], [2, 3]]
P('abcd',3).glom().collect()
    [['a'], ['b'], ['c', 'd']]
P([],3).glom().collect()
    [[], [], []]
sc.emptyRDD().getNumPartitions()
    0
sc.emptyRDD().glom().collect()
    []
P([1,2,3,4],2).fold(10, add)
    40
P([1,2,3,4],2).aggregate(1, add, add)
    13
P([],2).fold(5, add)
    15
sc.emptyRDD().fold(5, add)
    5
P([],2).sum()
    0
P([],2).count()
    0
P([],2).take(3)
    []
P([],2).isEmpty()
    True
P([3,1,2,5,4],2).top(2)
    [5, 4]
P([3,1,2,5,4],2).top(0)
    []
P([3,1,2],2).take(-1)
    []
P([('a',1),('b',2)],2).top(1)
    [('b', 2)]
P(['aa','b','cc','d'],2).max(key=len)
    'aa'
P(['aa','b','cc','d'],2).min(key=len)
    'b'
P([1,1.0,True,2],1).distinct().collect()
    [1, 2]
P([1,1.0,True,2],1).countByValue()
    defaultdict(<class 'int'>, {1: 3, 2: 1})
P([(1,'a'),(1.0,'b'),(True,'c')],1).reduceByKey(add).collect()
    [(1, 'abc')]
P([(0.0,'a'),(-0.0,'b')],1).reduceByKey(add).collect()
    [(0.0, 'ab')]
P([(float('nan'),1),(float('nan'),1)],1).reduceByKey(add).collect()
    [(nan, 1), (nan, 1)]
P([[1,2],[1,3]],1).reduceByKey(add).collect()
    [(1, 5)]
P([('a',1),('b',2),('a',3)],2).reduceByKey(add).glom().collect()
    [[('b', 2)], [('a', 4)]]
P([(1,1),(2,2),(3,3),(1,4)],2).reduceByKey(add).glom().collect()
    [[(2, 2)], [(1, 5), (3, 3)]]
P([(1,1),(2,2),(3,3),(1,4)],2).groupByKey(3).mapValues(list).glom().collect()
    [[(3, [3])], [(1, [1, 4])], [(2, [2])]]
P([(1,1),(2,2),(3,3),(1,4)],2).partitionBy(2).glom().collect()
    [[(2, 2)], [(1, 1), (3, 3), (1, 4)]]
P([(1,1),(2,2)],2).join(P([(2,3),(1,4),(2,5)],2)).glom().collect()
    [[], [(1, (1, 4))], [(2, (2, 3)), (2, (2, 5))], []]
P([(1,1),(2,2)],2).leftOuterJoin(P([(2,3),(3,4),(2,5)],2)).collect()
    [(1, (1, None)), (2, (2, 3)), (2, (2, 5))]
P([(1,1),(2,2)],2).rightOuterJoin(P([(2,3),(3,4),(2,5)],2)).collect()
    [(2, (2, 3)), (2, (2, 5)), (3, (None, 4))]
P([(1,1),(2,2)],2).fullOuterJoin(P([(2,3),(3,4),(2,5)],2)).collect()
    [(1, (1, None)), (2, (2, 3)), (2, (2, 5)), (3, (None, 4))]
[(k,[list(x) for x in v]) for k,v in P([(1,1),(2,2)],2).cogroup(P([(2,3),(3,4),(2,5)],2)).collect()]
    [(1, [[1], []]), (2, [[2], [3, 5]]), (3, [[], [4]])]
P([(1,1),(2,2)],2).join(P([(2,3),(1,4)],3)).getNumPartitions()
    5
P([(1,1),(2,2),(1,3)],2).subtractByKey(P([(2,3)],2)).collect()
    [(1, 1), (1, 3)]
P([1,2,2,3,1],2).subtract(P([3],2)).collect()
    [1, 1, 2, 2]
P([1,2,2,3],2).intersection(P([3,2,2,9],2)).collect()
    [2, 3]
P([1.0,2],1).intersection(P([1,True],1)).collect()
    [1.0]
P([1,2,3],2).union(P([4],3)).getNumPartitions()
    5
P([1,2],1).cartesian(P([3,4],1)).collect()
    [(1, 3), (1, 4), (2, 3), (2, 4)]
P([1,2],2).zip(P([3,4],2)).collect()
    [(1, 3), (2, 4)]
P(range(7),3).zipWithIndex().collect()
    [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)]
P(range(7),3).zipWithUniqueId().collect()
    [(0, 0), (1, 3), (2, 1), (3, 4), (4, 2), (5, 5), (6, 8)]
P(range(7),3).map(lambda x:(x%3,x)).sortByKey().collect()
    [(0, 0), (0, 3), (0, 6), (1, 1), (1, 4), (2, 2), (2, 5)]
P(range(7),3).map(lambda x:(x%3,x)).sortByKey(False).collect()
    [(2, 2), (2, 5), (1, 1), (1, 4), (0, 0), (0, 3), (0, 6)]
P(range(7),3).sortBy(lambda x:-x).collect()
    [6, 5, 4, 3, 2, 1, 0]
P([],3).sortBy(lambda x:x).getNumPartitions()
    3
P(range(7),3).sortBy(lambda x:-x, numPartitions=2).getNumPartitions()
    2
P([1],1).sortBy(lambda x:x, numPartitions=5).getNumPartitions()
    5
P(range(6),3).coalesce(2).glom().collect()
    [[0, 1], [2, 3, 4, 5]]
P(range(10),5).coalesce(3).glom().collect()
    [[0, 1], [2, 3, 4, 5], [6, 7, 8, 9]]
P(range(6),3).coalesce(5).getNumPartitions()
    3
P(range(10),4).coalesce(1).glom().collect()
    [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]
P(range(6),3).repartition(1).glom().collect()
    [[0, 1, 2, 3, 4, 5]]
P([(1,2),(1,3),(2,4)],2).countByKey()
    defaultdict(<class 'int'>, {1: 2, 2: 1})
P([(1,2),(1,3),(2,4)],2).collectAsMap()
    {1: 3, 2: 4}
P([(1,2),(1,3),(2,4)],2).lookup(1)
    [2, 3]
P([(1,[2]),(1,[3])],2).foldByKey([], lambda a,b: a.extend(b) or a).collect()
    [(1, [2, 3])]
P([(1,2),(1,3)],2).aggregateByKey(0, add, add).collect()
    [(1, 5)]
P([(1,2),(1,3)],1).combineByKey(str, lambda c,v:c+'|'+str(v), lambda a,b:a+'&'+b).collect()
    [(1, '2|3')]
P([1,2],1).glom().map(len).collect()
    [2]
P([1,2],1).mapPartitionsWithIndex(lambda i,it: [(i,list(it))]).collect()
    [(0, [1, 2])]
P([1,2,3],2).groupBy(lambda x: x%2).mapValues(list).collect()
    [(0, [2]), (1, [1, 3])]
P(['a','b'],1).keyBy(ord).collect()
    [(97, 'a'), (98, 'b')]
P([1,2,3],2).setName('x').name()
    'x'
P([1,2,3],2).name()
    None
P([1,2,3],2).sample(False, 0.0).collect()
    []
P([1,2,3],2).sample(False, 1.0).collect()
    [1, 2, 3]
P([(1,1),(2,1),(1,2)],2).partitionBy(2, lambda k: -k).glom().collect()
    [[(2, 1)], [(1, 1), (1, 2)]]
P([1,2],1).sum()
    3
P([(1,'a'),(2,'b')],2).partitionBy(2).mapValues(str).partitioner is not None
    True
P([(1,'a'),(2,'b')],2).partitionBy(2).map(lambda x:x).partitioner is not None
    False
P([(1,'a'),(2,'b')],2).partitionBy(2).filter(lambda x:x).partitioner is not None
    True
P([(1,'a'),(2,'b')],2).reduceByKey(add).partitioner is not None
    True
P([(1,'a'),(2,'b')],2).partitionBy(2).sample(False,0.5).partitioner is not None
    True
P([(1,'a'),(2,'b')],2).partitionBy(2).flatMapValues(list).partitioner is not None
    True
P([(1,'a'),(2,'b')],2).groupByKey().partitioner is not None
    True
P([(1,'a'),(2,'b')],2).groupBy(lambda x:x[0]).partitioner is not None
    True
P([(1,'a'),(2,'b')],2).join(P([(1,2)],1)).partitioner is not None
    True
P([(1,'a'),(2,'b')],2).cogroup(P([(1,2)],1)).partitioner is not None
    True
P([(1,'a'),(2,'b')],2).partitionBy(2).distinct().partitioner is not None
    False
P([(1,'a'),(2,'b')],2).subtractByKey(P([(1,2)],1)).partitioner is not None
    True
P(range(3),1).toLocalIterator().__class__.__name__
    'generator'
list(P(range(5),2).toLocalIterator())
    [0, 1, 2, 3, 4]
sc.union([P([1],1),P([2],1)]).collect()
    [1, 2]
sc.range(5).collect()
    [0, 1, 2, 3, 4]
sc.range(1,10,3).collect()
    [1, 4, 7]
sc.range(10,0,-3).collect()
    [10, 7, 4, 1]
P([1,2,3,4,5],3).take(4)
    [1, 2, 3, 4]
P([3,1,2],3).max()
    3
P([float('nan'),1.0,2.0],1).max()
    nan
P([1.0,float('nan'),2.0],1).max()
    2.0
P([1.0,float('nan'),2.0],3).min()
    1.0
P([('a',None),('a',1)],1).groupByKey().mapValues(list).collect()
    [('a', [None, 1])]
P([{'a':1}],1).map(lambda d: d.update(x=1) or d).collect()
    [{'a': 1, 'x': 1}]
P([1,2,3,4],2).foreachPartition(lambda it: None)
    None
P([1,2,3,4],2).foreachPartition(lambda it: 5)
    None
P([1,2,3,4],2).zipWithIndex().partitioner
    None
P([1,2,3],2).getStorageLevel()
    StorageLevel(False, False, False, False, 1)
P([1,2,3],2).cache().getStorageLevel()
    StorageLevel(False, True, False, False, 1)
P([1,2,3],2).persist(StorageLevel.DISK_ONLY).getStorageLevel()
    StorageLevel(True, False, False, False, 1)
"""

# An expression, PySpark's answer, and ours; the name of an exception stands for its being raised.
DIFFERENT = [
    ("P(['ab', 'cd'], 1).reduceByKey(add).collect()", "[('a', 'b'), ('c', 'd')]", "NotAPairError"),
    ("P([(1, 2, 3)], 1).mapValues(str).collect()", "[(1, '2')]", "NotAPairError"),
    ("P([(1, 2, 3)], 1).keys().collect()", "[1]", "NotAPairError"),
    ("P([1, 1.0, True, 2], 1).subtract(P([2], 1)).collect()", "[1, 1, 1]", "[1, 1.0, True]"),
    (
        "P([(1, 1)], 2).partitionBy(2).union(P([(1, 2)], 2).partitionBy(2)).glom().collect()",
        "[[], [(1, 1), (1, 2)]]",
        "[[], [(1, 1)], [], [(1, 2)]]",
    ),
    (
        "P([1, 2], 1).cartesian(P([3, 4, 5], 2)).glom().collect()[1]",
        "[(1, 4), (2, 4), (1, 5), (2, 5)]",
        "[(1, 4), (1, 5), (2, 4), (2, 5)]",
    ),
    ("P([1, 2, 3], 2).sample(False, 1.5).collect()", "[1, 2, 3]", "ArgumentError"),
    ("P([(1, 'a')], 2).sortByKey().partitioner is None", "False", "True"),
    ("sc.union([]).collect()", "IndexError", "[]"),
    ("P([1, 2, 3], 0)", "ZeroDivisionError", "ArgumentError"),
]


def answers() -> list[tuple[str, str]]:
    lines = SAME.splitlines()
    return [(asked, answer.strip()) for asked, answer in zip(lines[::2], lines[1::2], strict=True)]


@pytest.fixture
def two_threads() -> Any:
    with Context("local[2]", "as PySpark") as sc:
        yield sc


def evaluated(expression: str, sc: Context) -> str:
    names = {"P": sc.parallelize, "sc": sc, "add": add, "StorageLevel": StorageLevel}
    try:
        return repr(eval(expression, names))
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize(("expression", "answer"), answers())
def test_the_same_answer(two_threads: Context, expression: str, answer: str) -> None:
    assert evaluated(expression, two_threads) == answer


@pytest.mark.parametrize(("expression", "pyspark", "penstock"), DIFFERENT)
def test_another_answer_on_purpose(
    two_threads: Context, expression: str, pyspark: str, penstock: str
) -> None:
    assert evaluated(expression, two_threads) == penstock != pyspark
