"""Cases from files, Python and generators, each with the check and the metric that judge its answers."""

from effortctl.harness.datasets._dataset import BY_METRIC, Dataset
from effortctl.harness.datasets._load import load_dataset
from effortctl.harness.datasets._metrics import METRIC_NAMES, Metric, metric_named

__all__ = ["BY_METRIC", "METRIC_NAMES", "Dataset", "Metric", "load_dataset", "metric_named"]
