"""Several sinks behind one."""

from __future__ import annotations

from effortctl._errors import ConfigError
from effortctl._types import Trace
from effortctl.protocols import TraceSink


class Observers:
    """Gives each trace to several sinks, in order. One that fails keeps it from none of the others.

    Attributes:
        sinks: Who is told.
    """

    def __init__(self, *sinks: TraceSink) -> None:
        """Remember the sinks.

        Raises:
            ConfigError: There is none, or something without `write(trace)` among them.
        """
        strange = [sink for sink in sinks if not callable(getattr(sink, "write", None))]
        if not sinks or strange:
            raise ConfigError(
                f"observers are objects with a method write(trace), such as TraceStore, got "
                f"{strange[0] if strange else 'none'!r}"
            )
        self.sinks = sinks

    def write(self, trace: Trace) -> None:
        """Tell every sink.

        Raises:
            Exception: What the first sink raised that failed, once all were told.
        """
        first: Exception | None = None
        for sink in self.sinks:
            try:
                sink.write(trace)
            except Exception as error:  # noqa: BLE001 - a sink may be foreign code; raised below
                first = first or error
        if first is not None:
            raise first

    def record_feedback(self, trace_id: str, score: float, note: str | None = None) -> None:
        """Give feedback to every sink that keeps it.

        Raises:
            ConfigError: None of them does.
        """
        keepers = [keep for sink in self.sinks if (keep := getattr(sink, "record_feedback", None))]
        if not keepers:
            raise ConfigError(
                "none of the observers keeps feedback; add a TraceStore(path) to them"
            )
        for keep in keepers:
            keep(trace_id, score, note)
