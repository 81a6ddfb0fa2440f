"""KafkaUtils: topics of Kafka as streams and as datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from penstock.clients import kafka
from penstock.conf import (
    KAFKA_MAX_RATE,
    KAFKA_MIN_RATE,
    KAFKA_ON_DATA_LOSS,
    KAFKA_PLAN_TIMEOUT,
    KAFKA_STALL,
    Conf,
)
from penstock.context.context import Context
from penstock.context.streaming import StreamingContext
from penstock.dstream import DStream
from penstock.errors import ArgumentError, SignatureError
from penstock.plan import call_site, must_be_callable
from penstock.rdd import RDD
from penstock.sources import (
    KafkaMessageAndMetadata,
    KafkaReading,
    KafkaSource,
    MessageDecoding,
    OffsetRange,
    TopicAndPartition,
    ranges_node,
    utf8_decoder,
)

__all__ = ["KafkaUtils"]

Decoder = Callable[[bytes | None], Any]
Handler = Callable[[KafkaMessageAndMetadata], Any]


class KafkaUtils:
    """Topics of Kafka as streams and as datasets, with the methods of PySpark 2; needs the ``kafka`` extra.

    ``kafkaParams`` are the settings of librdkafka, which are Kafka's own names for the most part:
    ``bootstrap.servers`` (or ``metadata.broker.list``), ``auto.offset.reset``, ``isolation.level``,
    ``security.protocol``, ... A setting that the client does not know is an ``ArgumentError`` at the start.
    """

    @staticmethod
    def createDirectStream(
        ssc: StreamingContext,
        topics: Iterable[str],
        kafkaParams: Mapping[str, Any],
        fromOffsets: Mapping[TopicAndPartition, int] | None = None,
        keyDecoder: Decoder = utf8_decoder,
        valueDecoder: Decoder = utf8_decoder,
        messageHandler: Handler | None = None,
        *,
        commitOffsets: bool = False,
    ) -> DStream:
        """The messages of some topics as ``(key, value)``; each partition of Kafka is a partition of the RDD.

        Keys and values are text, which stays in columns; ``None`` is ``None``, bytes that are not UTF-8 are
        U+FFFD and counted. Other decoders get ``bytes`` or ``None``. ``messageHandler`` makes the record of a
        :class:`KafkaMessageAndMetadata` instead. A topic that begins with ``^`` is a regular expression;
        topics and partitions that appear later are read from their beginning.

        A partition begins at ``fromOffsets[TopicAndPartition(topic, partition)]``, else where
        ``auto.offset.reset`` says: ``latest`` (the default), ``earliest``, or ``error``. With
        ``commitOffsets`` the group ``group.id`` is told where each partition goes on when a batch has
        succeeded, and without a checkpoint a program begins there. With one (``ssc.checkpoint``) each message
        belongs to exactly one batch, whatever crashes. ``rdd.offsetRanges()`` of the stream's own RDDs says
        which these are.

        >>> stream = KafkaUtils.createDirectStream(
        ...     StreamingContext(sc, 1), ["orders"], {"bootstrap.servers": "localhost:9092"}
        ... )
        >>> print(stream.map(lambda message: message[1]).explain())  # doctest: +ELLIPSIS
          1 createDirectStream at ...: columns: tuple[str | None, str | None]
          2 map at ... of 1: columns: str | None
        """
        if not isinstance(ssc, StreamingContext):
            raise SignatureError(f"createDirectStream needs a StreamingContext, not {type(ssc).__name__}")
        names = _topics(topics)
        offsets = _offsets(fromOffsets, names)
        settings, reset = kafka.consumer_settings(kafkaParams)
        if commitOffsets and "group.id" not in kafkaParams:
            raise ArgumentError("commitOffsets needs a group.id in kafkaParams")
        kafka.engine()  # where it is missing, that is said before anything runs
        ssc.must_be_open()
        conf, origin = ssc.sparkContext.conf, len(ssc.graph.inputs)
        decoding = _decoding(keyDecoder, valueDecoder, messageHandler, "createDirectStream")
        source = KafkaSource(
            kafka.Cluster(settings, conf.value(KAFKA_PLAN_TIMEOUT)),
            names,
            _reading(settings, decoding, conf, origin),
            interval_ms=ssc.graph.interval_ms,
            reset=reset,
            from_offsets=offsets,
            max_rate=conf.value(KAFKA_MAX_RATE),
            min_rate=conf.value(KAFKA_MIN_RATE),
            commits=commitOffsets,
        )
        return ssc._input("createDirectStream", source)

    @staticmethod
    def createRDD(
        sc: Context,
        kafkaParams: Mapping[str, Any],
        offsetRanges: Sequence[OffsetRange],
        leaders: Any = None,
        keyDecoder: Decoder = utf8_decoder,
        valueDecoder: Decoder = utf8_decoder,
        messageHandler: Handler | None = None,
    ) -> RDD:
        """The messages of some ranges of offsets, a partition each; the other arguments are those of
        :meth:`createDirectStream`. ``leaders`` is accepted and not needed: brokers say who leads.

        >>> params = {"bootstrap.servers": "localhost:9092"}
        >>> rdd = KafkaUtils.createRDD(sc, params, [OffsetRange("orders", 0, 100, 110)])
        >>> rdd.getNumPartitions(), rdd.offsetRanges()[0].count()
        (1, 10)
        """
        if not isinstance(sc, Context):
            raise SignatureError(f"createRDD needs a Context, not {type(sc).__name__}")
        ranges = [_range(each) for each in offsetRanges]
        settings, _ = kafka.consumer_settings(kafkaParams)
        kafka.engine()
        decoding = _decoding(keyDecoder, valueDecoder, messageHandler, "createRDD")
        return RDD(ranges_node(ranges, _reading(settings, decoding, sc.conf, None), decoding.site), sc)


def _reading(
    settings: Mapping[str, Any], decoding: MessageDecoding, conf: Conf, origin: int | None
) -> KafkaReading:
    return KafkaReading(
        settings,
        decoding,
        conf.value(KAFKA_ON_DATA_LOSS),
        conf.value(KAFKA_STALL),
        conf.value(KAFKA_PLAN_TIMEOUT),
        origin,
    )


def _decoding(key: Decoder, value: Decoder, handler: Handler | None, operation: str) -> MessageDecoding:
    must_be_callable(key, "keyDecoder")
    must_be_callable(value, "valueDecoder")
    if handler is not None:
        must_be_callable(handler, "messageHandler")
    return MessageDecoding(key, value, handler, call_site(operation))


def _topics(topics: Iterable[str]) -> list[str]:
    if isinstance(topics, (str, bytes)) or not isinstance(topics, Iterable):
        raise SignatureError(f"topics should be a list of names, not {topics!r}. Hint: ['orders'].")
    names = list(dict.fromkeys(topics))
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ArgumentError(f"topics should be the names of one topic or more, not {names!r}")
    return names


def _offsets(given: Mapping[TopicAndPartition, int] | None, topics: list[str]) -> dict[tuple[str, int], int]:
    found = {}
    for place, offset in (given or {}).items():
        if not isinstance(place, tuple) or len(place) != 2 or not _is_count(offset):
            raise SignatureError(
                f"fromOffsets should be {{TopicAndPartition(topic, partition): offset}}, "
                f"not {place!r}: {offset!r}"
            )
        topic, partition = place
        if topic not in topics and not any(map(kafka.is_pattern, topics)):
            raise ArgumentError(f"fromOffsets names the topic {topic!r}, which is not among {topics}")
        found[topic, partition] = int(offset)
    return found


def _range(given: Any) -> OffsetRange:
    if not isinstance(given, tuple) or len(given) != 4:
        raise SignatureError(f"offsetRanges should be a list of OffsetRange, not of {given!r}")
    found = OffsetRange(*given)
    if not all(map(_is_count, found[1:])) or found.fromOffset > found.untilOffset:
        raise ArgumentError(f"{found} is no range: its figures should be 0 or more, and from not after until")
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
