"""The loop behind the OpenAI client a program already has.

```
client.chat.completions.create(...) -> post -> SdkRequest -- model and effort named --> pass_through (Meter)
                                                     '------ "auto" ---------------> manage (Controller)
```

The SDK sends every call through one method, `post`. A wrapped client is of a subclass that looks at the
calls to the two APIs that generate there; the arguments, parsers, helpers and errors above it, and the
authentication, URLs and transport below it, stay the SDK's own.
"""

from effortctl._client._info import CallInfo, info
from effortctl._client._request import AUTO
from effortctl._client._wrap import wrap

__all__ = ["AUTO", "CallInfo", "info", "wrap"]
