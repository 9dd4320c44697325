"""An OpenAI-compatible endpoint on this machine: adaptive effort for programs in any language.

```
HTTP request -> guard (token, host) -> what is wanted -> wrapped client -> reply, with headers that tell the cost
```

Needs the extra `serve` (starlette and uvicorn). `effortctl serve` is the same from a shell.
"""

from effortctl.serve._app import build_app
from effortctl.serve._config import ServeConfig
from effortctl.serve._run import Listener, run

__all__ = ["Listener", "ServeConfig", "build_app", "run"]
