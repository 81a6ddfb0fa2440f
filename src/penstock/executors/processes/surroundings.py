"""What a function finds around itself, the same in a worker as in the program at the time of the job."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence

from penstock.values import dataclass

__all__ = ["Surroundings"]


@dataclass(frozen=True)
class Surroundings:
    """Where modules are found, the working directory (``None``: it is gone), the environment, and the levels
    of loggers by their names, the root's under the empty one."""

    paths: Sequence[str]
    directory: str | None
    environment: Mapping[str, str]
    levels: Mapping[str, int]
    disabled: int

    @classmethod
    def now(cls) -> Surroundings:
        """Those of this process."""
        try:
            directory = os.getcwd()
        except OSError:
            directory = None
        return cls(list(sys.path), directory, dict(os.environ), _levels(), logging.root.manager.disable)

    def take_over(self) -> None:
        """Make them this process's."""
        sys.path[:] = self.paths
        if self.directory is not None and self.directory != os.getcwd():
            os.chdir(self.directory)
        for name in os.environ.keys() - self.environment.keys():
            del os.environ[name]
        for name, value in self.environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        for name in _levels().keys() - self.levels.keys():
            logging.getLogger(name).setLevel(logging.NOTSET)
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)
        logging.disable(self.disabled)


def _levels() -> dict[str, int]:
    known = logging.root.manager.loggerDict.copy().items()
    found = {name: each.level for name, each in known if isinstance(each, logging.Logger) and each.level}
    return {**found, "": logging.root.level}
