"""Streams: the graph of nodes, the user's handle on it, and what a running graph has computed."""

from penstock.dstream.dstream import DStream, MapWithStateDStream
from penstock.dstream.generation import Generation
from penstock.dstream.graph import StreamGraph
from penstock.dstream.handle import rdd_callback
from penstock.dstream.inputs import Input
from penstock.dstream.node import StreamNode, Transformed
from penstock.dstream.outputs import Output
from penstock.dstream.spec import StateSpec

__all__ = [
    "DStream",
    "Generation",
    "Input",
    "MapWithStateDStream",
    "Output",
    "StateSpec",
    "StreamGraph",
    "StreamNode",
    "Transformed",
    "rdd_callback",
]
