"""The contract of sources, kept by topics: over TCP, and on a client made for it."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import Context
from penstock.clients import kafka
from penstock.errors import CallSite
from penstock.sources import KafkaReading, KafkaSource, MessageDecoding, StreamSource, utf8_decoder
from tests.kafka.broker import Broker
from tests.kafka.fake import Cluster
from tests.sources.contract import World, live_through


class Topic(World):
    """A topic of which a batch has three messages of each partition at most."""

    def __init__(self, params: dict[str, Any], topic: str) -> None:
        self.params = params
        self.topic = topic
        self.bring([])

    def source(self) -> StreamSource:
        settings, reset = kafka.consumer_settings(self.params)
        decoding = MessageDecoding(
            utf8_decoder, utf8_decoder, lambda message: message.message, CallSite("test")
        )
        return KafkaSource(
            kafka.Cluster(settings, 10_000),
            [self.topic],
            KafkaReading(settings, decoding),
            interval_ms=1000,
            reset=reset,
            from_offsets={},
            max_rate=3,
        )

    def died(self, source: StreamSource) -> None:
        """Another process has consumers of its own."""
        super().died(source)
        kafka._readers.close()


class OverTcp(Topic):
    def __init__(self, broker: Broker, topic: str) -> None:
        self.broker = broker
        super().__init__(broker.params, topic)

    def bring(self, records: list[str]) -> None:
        self.broker.send(self.topic, records, partition=0)


class OverPartitions(OverTcp):
    """Messages in all partitions, which come in an order of their own."""

    in_order = False

    def bring(self, records: list[str]) -> None:
        self.broker.send(self.topic, records)


class Faked(Topic):
    def __init__(self, cluster: Cluster) -> None:
        self.log = cluster.log()
        super().__init__({"bootstrap.servers": "fake", "auto.offset.reset": "earliest"}, "t")

    def bring(self, records: list[str]) -> None:
        for record in records:
            self.log.messages[self.log.high] = record.encode()
            self.log.high += 1


@pytest.mark.parametrize("chance", range(2))
def test_over_tcp(sc: Context, broker: Broker, topic: str, seed: int, chance: int) -> None:
    live_through(sc, OverTcp(broker, topic), seed + chance, steps=25)


@pytest.mark.parametrize("chance", range(2))
def test_over_many_partitions(sc: Context, broker: Broker, topic: str, seed: int, chance: int) -> None:
    live_through(sc, OverPartitions(broker, topic), seed + chance, steps=25)


@pytest.mark.parametrize("chance", range(20))
def test_on_a_client_made_for_it(
    sc: Context, monkeypatch: pytest.MonkeyPatch, seed: int, chance: int
) -> None:
    cluster = Cluster()
    kafka._readers.close()
    monkeypatch.setattr(kafka, "engine", lambda: cluster)
    live_through(sc, Faked(cluster), seed + chance)
    kafka._readers.close()
