"""Who else is told of every finished task: OpenTelemetry, the log, or several at once.

Each of these is a `TraceSink`, as `stores.TraceStore` is: pass it as `traces=` to a controller. They
work from the finished trace, so they cost the task nothing while it runs, and no prompt is in it.

```python
from effortctl.observers import LogObserver, Observers, OtelObserver
from effortctl.stores import TraceStore

ctl = Controller("openai", traces=Observers(TraceStore("traces.jsonl"), OtelObserver(), LogObserver()))
```
"""

from effortctl.observers._logs import LogObserver
from effortctl.observers._otel import OtelObserver
from effortctl.observers._several import Observers

__all__ = ["LogObserver", "Observers", "OtelObserver"]
