"""An Apache Spark cluster: Spark schedules and retries, our kernels run in its Python workers."""

from penstock.executors.spark.crew import SparkCrew
from penstock.executors.spark.executor import SparkExecutor
from penstock.executors.spark.session import Session, must_be_master

__all__ = ["Session", "SparkCrew", "SparkExecutor", "must_be_master"]
