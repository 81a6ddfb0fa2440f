"""Batches that were given up are known to be, whether outputs of them are lost or not."""

from __future__ import annotations

from pathlib import Path

from penstock.checkpoint import Checkpoint, Commit, begin_record


def test_a_batch_that_was_given_up_without_a_lost_output_is_known_to_be(tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(tmp_path), threaded=False)
    checkpoint.claim("one", alone=True)
    checkpoint.begin(begin_record("run", 1000, 0, {}, {}))
    checkpoint.commit(Commit(1000))
    checkpoint.commit(Commit(2000, given_up=True))
    checkpoint.commit(Commit(3000, lost=[{"time": 3000, "output": 0}]))  # as versions before wrote it
    checkpoint._compact_bytes = 0
    checkpoint.plan([(4000, {}, None)])  # too much is written now, so the next file begins
    assert checkpoint.wants_positions
    checkpoint.plan([(5000, {}, {})])
    checkpoint.close()
    image = Checkpoint(str(tmp_path)).load()
    assert image is not None
    assert image.given_up == [2000, 3000]
