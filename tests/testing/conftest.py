"""The context that the tests of this folder use."""

from tests.rdd.contexts import sc

__all__ = ["sc"]
