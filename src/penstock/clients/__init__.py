"""Connections to other systems: one object of each per process, whoever asks, however often."""

from penstock.clients.shared import Shared

__all__ = ["Shared"]
