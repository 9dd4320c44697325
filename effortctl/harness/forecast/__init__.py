"""What a month will cost: dollars per task from recorded outcomes, times expected queries."""

from effortctl.harness.forecast._forecast import forecast
from effortctl.harness.forecast._values import Amount, MonthlyForecast, PolicyForecast
from effortctl.harness.forecast._volume import Volume, read_volumes

__all__ = [
    "Amount",
    "MonthlyForecast",
    "PolicyForecast",
    "Volume",
    "forecast",
    "read_volumes",
]
