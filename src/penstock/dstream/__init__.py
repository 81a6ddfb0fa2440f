"""Streams: the graph of nodes, the user's handle on it, and what a running graph has computed."""

from penstock.dstream.dstream import DStream, MapWithStateDStream
from penstock.dstream.generation import Carried, Generation
from penstock.dstream.graph import StreamGraph
from penstock.dstream.handle import rdd_callback
from penstock.dstream.inputs import Input
from penstock.dstream.ledger import Ledger
from penstock.dstream.looking import StateView
from penstock.dstream.node import StreamNode, Transformed
from penstock.dstream.outputs import Output
from penstock.dstream.parsing import Records
from penstock.dstream.saving import input_names, inputs_of, name_problems, report, saved_of, state_views
from penstock.dstream.spec import StateSpec

__all__ = [
    "Carried",
    "DStream",
    "Generation",
    "Input",
    "Ledger",
    "MapWithStateDStream",
    "Output",
    "Records",
    "StateSpec",
    "StateView",
    "StreamGraph",
    "StreamNode",
    "Transformed",
    "input_names",
    "inputs_of",
    "name_problems",
    "rdd_callback",
    "report",
    "saved_of",
    "state_views",
]
