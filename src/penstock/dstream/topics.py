"""Streams that are sent as messages: to topics of Kafka."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from penstock.dstream.databases import Databases
from penstock.plan import call_site
from penstock.sinks import MessageShape, save_kafka

__all__ = ["Topics"]


class Topics(Databases):
    """Outputs into topics; they need the ``kafka`` extra."""

    __slots__ = ()

    def saveToKafka(
        self,
        topic: str,
        kafkaParams: Mapping[str, Any],
        key: Callable[[Any], Any] | None = None,
        value: Callable[[Any], Any] | None = None,
        headers: Callable[[Any], Any] | None = None,
    ) -> None:
        """Each record of each batch as a message to a topic; the arguments are those of ``RDD.saveToKafka``.

        The output is done when all messages have arrived; if one has not, the batch fails. At least once: a
        batch that is run again sends its messages again, with the same headers as before.
        ``penstock-batch-time`` is the batch time in ms; ``penstock-record`` is
        ``<output>/<partition>/<number>``, the number of the output among those of the program and where in
        the batch the record was. :class:`~penstock.KafkaRepeats` finds repeats by them.
        """
        shape = MessageShape.of(topic, kafkaParams, key, value, headers, call_site("saveToKafka"))
        output = len(self._ssc.graph.outputs)
        self._output(
            "saveToKafka",
            lambda time, rdd: save_kafka(rdd.context, rdd.plan, shape, time=time, output=output),
        )
