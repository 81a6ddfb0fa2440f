"""When batches run, and who is told."""

from penstock.scheduler.backpressure import PidSettings, RateInfo
from penstock.scheduler.driver import BatchDriver
from penstock.scheduler.listener import (
    BatchInfo,
    ListenerBus,
    OperatorInfo,
    OutputOperationInfo,
    ReceiverInfo,
    StateOperatorInfo,
    StreamingListener,
    StreamInputInfo,
)
from penstock.scheduler.machine import BatchMachine
from penstock.scheduler.recovery import PROGRAM, Recovery

__all__ = [
    "PROGRAM",
    "BatchDriver",
    "BatchInfo",
    "BatchMachine",
    "ListenerBus",
    "OperatorInfo",
    "OutputOperationInfo",
    "PidSettings",
    "RateInfo",
    "ReceiverInfo",
    "Recovery",
    "StateOperatorInfo",
    "StreamInputInfo",
    "StreamingListener",
]
