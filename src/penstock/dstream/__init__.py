"""Streams: the graph of nodes, the user's handle on it, and what a running graph has computed."""

from penstock.dstream.dstream import DStream
from penstock.dstream.generation import Generation
from penstock.dstream.graph import StreamGraph
from penstock.dstream.handle import rdd_callback
from penstock.dstream.inputs import Input
from penstock.dstream.node import StreamNode, Transformed
from penstock.dstream.outputs import Output

__all__ = [
    "DStream",
    "Generation",
    "Input",
    "Output",
    "StreamGraph",
    "StreamNode",
    "Transformed",
    "rdd_callback",
]
