"""Figures in Prometheus' text format. Names and meanings are in ``docs/monitor.md``, and stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from penstock.monitor.application import Application, health

__all__ = ["exposition"]

Sample = tuple[Mapping[str, str], float | None]


def exposition(application: Application) -> str:
    """All figures. What is not known is left out."""
    history = application.history
    totals, last, active = history.totals(), history.last or {}, history.active()
    facts = history.application
    names = {str(each["id"]): each["name"] for each in facts.get("inputs", [])}
    state: dict[str, dict[str, int]] = {}
    limits: dict[str, float] = {}
    for batch in history.over(100):
        state.update({each["operator"]: each for each in batch["state"]})
        limits.update({each["name"]: each["recordsPerSecond"] for each in batch["limits"]})
    done = {"completed": totals["batches"] - totals["failed"], "failed": totals["failed"]}
    checkpoint = application.checkpoint() or {}
    sizes = [checkpoint.get("journalBytes"), checkpoint.get("snapshotBytes")]
    total_bytes = (
        sum(size for size in sizes if size is not None) if any(s is not None for s in sizes) else None
    )
    one: Mapping[str, str] = {}
    families: list[tuple[str, str, str, Iterable[Sample]]] = [
        ("application_info", "gauge", "What runs; always 1.",
         [({name: str(facts.get(name)) for name in ("name", "version", "run")}, 1)]),
        ("up", "gauge", "1 while batches go on.", [(one, float(application.running))]),
        ("ready", "gauge", "1 while batches are completed as they should be, as /health/ready says.",
         [(one, float(health(application).well))]),
        ("batch_interval_seconds", "gauge", "The batch interval.", [(one, _s(facts.get("interval")))]),
        ("batches_total", "counter", "Batches that are over.", [({"status": s}, n) for s, n in done.items()]),
        ("batches_waiting", "gauge", "Batches that wait for their turn.",
         [(one, sum(batch["status"] == "waiting" for batch in active))]),
        ("records_total", "counter", "Records of batches that are over, by input.",
         [({"input": names.get(id, id)}, n) for id, n in totals["inputs"].items()]),
        ("processing_seconds_total", "counter", "Time that batches were processed.",
         [(one, _s(totals["processingTime"]))]),
        ("last_batch_timestamp_seconds", "gauge", "The time of the batch that was over last.",
         [(one, _s(last.get("time")))]),
        ("last_batch_end_timestamp_seconds", "gauge", "When it was over.", [(one, _s(last.get("ended")))]),
        ("last_batch_records", "gauge", "How many records it had.", [(one, last.get("records"))]),
        ("last_batch_scheduling_delay_seconds", "gauge", "How long it waited.",
         [(one, _s(last.get("schedulingDelay")))]),
        ("last_batch_processing_seconds", "gauge", "How long it was processed.",
         [(one, _s(last.get("processingTime")))]),
        ("last_batch_total_delay_seconds", "gauge", "Both together.", [(one, _s(last.get("totalDelay")))]),
        ("state_keys", "gauge", "Keys that an operator remembers.",
         [({"operator": name}, each["keys"]) for name, each in state.items()]),
        ("state_bytes", "gauge", "Memory that its state takes.",
         [({"operator": name}, each["bytes"]) for name, each in state.items()]),
        ("input_limit_records_per_second", "gauge", "What back-pressure holds an input to.",
         [({"input": name}, limit) for name, limit in limits.items()]),
        ("input_held_bytes", "gauge", "What an input holds for batches that are not over.",
         [({"input": names.get(str(id), str(id))}, n) for id, n in application.waiting_bytes().items()]),
        ("receiver_active", "gauge", "1 while a receiver is active.",
         [({"receiver": each["name"], "input": str(each["input"])}, float(each["active"]))
          for each in history.receivers()]),
        ("checkpoint_bytes", "gauge", "What the files of the checkpoint take.", [(one, total_bytes)]),
    ]  # fmt: skip
    return "".join(_family(*family) for family in families)


def _s(duration_ms: float | None) -> float | None:
    return None if duration_ms is None else duration_ms / 1000


def _family(name: str, kind: str, words: str, samples: Iterable[Sample]) -> str:
    lines = [
        f"penstock_{name}{_labels(labels)} {_number(value)}" for labels, value in samples if value is not None
    ]
    if not lines:
        return ""
    return "\n".join([f"# HELP penstock_{name} {words}", f"# TYPE penstock_{name} {kind}", *lines, ""])


def _labels(labels: Mapping[str, str]) -> str:
    return (
        "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"
        if labels
        else ""
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return repr(value) if isinstance(value, float) and not value.is_integer() else str(int(value))
