"""Where a persisted RDD is kept."""

from __future__ import annotations

from typing import ClassVar

from penstock.values import dataclass

__all__ = ["StorageLevel"]


@dataclass(frozen=True)
class StorageLevel:
    """PySpark's storage level: its fields, its constants, its text.

    In one process ``DISK_ONLY`` levels keep pickled chunks in temporary files, all others keep the
    chunks in memory; replication has nobody to replicate to.

    >>> print(StorageLevel.MEMORY_ONLY)
    Memory Serialized 1x Replicated
    """

    useDisk: bool
    useMemory: bool
    useOffHeap: bool = False
    deserialized: bool = False
    replication: int = 1

    NONE: ClassVar[StorageLevel]
    DISK_ONLY: ClassVar[StorageLevel]
    DISK_ONLY_2: ClassVar[StorageLevel]
    DISK_ONLY_3: ClassVar[StorageLevel]
    MEMORY_ONLY: ClassVar[StorageLevel]
    MEMORY_ONLY_2: ClassVar[StorageLevel]
    MEMORY_AND_DISK: ClassVar[StorageLevel]
    MEMORY_AND_DISK_2: ClassVar[StorageLevel]
    MEMORY_AND_DISK_DESER: ClassVar[StorageLevel]
    OFF_HEAP: ClassVar[StorageLevel]

    def __repr__(self) -> str:
        fields = (self.useDisk, self.useMemory, self.useOffHeap, self.deserialized, self.replication)
        return f"StorageLevel{fields}"

    def __str__(self) -> str:
        parts = ["Disk " if self.useDisk else "", "Memory " if self.useMemory else ""]
        parts += [
            "OffHeap " if self.useOffHeap else "",
            "Deserialized " if self.deserialized else "Serialized ",
        ]
        return f"{''.join(parts)}{self.replication}x Replicated"


StorageLevel.NONE = StorageLevel(False, False)
StorageLevel.DISK_ONLY = StorageLevel(True, False)
StorageLevel.DISK_ONLY_2 = StorageLevel(True, False, replication=2)
StorageLevel.DISK_ONLY_3 = StorageLevel(True, False, replication=3)
StorageLevel.MEMORY_ONLY = StorageLevel(False, True)
StorageLevel.MEMORY_ONLY_2 = StorageLevel(False, True, replication=2)
StorageLevel.MEMORY_AND_DISK = StorageLevel(True, True)
StorageLevel.MEMORY_AND_DISK_2 = StorageLevel(True, True, replication=2)
StorageLevel.MEMORY_AND_DISK_DESER = StorageLevel(True, True, deserialized=True)
StorageLevel.OFF_HEAP = StorageLevel(True, True, useOffHeap=True)
