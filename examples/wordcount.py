"""Words in the files of a folder: how often in each batch, and how often since the start.

::

    python examples/wordcount.py inbox              waits for files; Ctrl-C ends it
    python examples/wordcount.py inbox --once       takes the files that are there, and ends
"""

from __future__ import annotations

import argparse
import tempfile
from operator import add

from penstock import Context, DStream, StreamingContext


def word_counts(lines: DStream) -> tuple[DStream, DStream]:
    """``(word, how often)`` in this batch, and since the start."""
    words = lines.flatMap(str.split).map(lambda word: (word.strip(".,;:!?").lower(), 1))
    now = words.reduceByKey(add)
    return now, now.updateStateByKey(lambda news, total: sum(news) + (total or 0))


def sorted_by_count(pairs: DStream) -> DStream:
    """The most frequent words first."""
    return pairs.transform(lambda rdd: rdd.sortBy(lambda pair: (-pair[1], pair[0])))


def main() -> None:
    options = argparse.ArgumentParser(description="Count words in the files of a folder.")
    options.add_argument("folder")
    options.add_argument("--interval", type=float, default=1.0, help="seconds between batches")
    options.add_argument("--once", action="store_true", help="take the files that are there, and end")
    given = options.parse_args()

    with Context("local[*]", "wordcount") as sc, tempfile.TemporaryDirectory() as checkpoint:
        sc.setCheckpointDir(checkpoint)
        ssc = StreamingContext(sc, given.interval)
        lines = ssc.textFileStream(given.folder, newFilesOnly=not given.once, maxFilesPerBatch=100)
        now, total = word_counts(lines)
        now.count().pprint()
        sorted_by_count(total).pprint(5)
        ssc.start(availableNow=given.once)
        try:
            ssc.awaitTermination()
        except KeyboardInterrupt:
            ssc.stop(stopSparkContext=False, stopGracefully=True)


if __name__ == "__main__":
    main()
