"""What is known of models, endpoints and ladders: data in TOML, and the code that reads it.

```
"gpt-6-luna@low" -> ArmRequest -> resolve (ModelCard, EndpointPreset) -> Arm
"openai"         -> load_ladder -> Ladder of Arms
400 from the endpoint -> narrow -> the same Arm with an effort it takes
```

A user's own file (`$EFFORTCTL_CATALOG`, or `catalog.toml` in the configuration folder) changes or
adds cards and endpoints; ladders of the user's own lie beside it in `ladders/`.
"""

from effortctl._types import OnUnsupported
from effortctl.catalog._cards import EndpointPreset, ModelCard
from effortctl.catalog._catalog import Catalog, load_catalog, user_config_dir
from effortctl.catalog._ladders import Ladder, Rung, load_ladder, shipped_ladders
from effortctl.catalog._resolve import (
    ArmRequest,
    choose_effort,
    narrow,
    parse_arm,
    resolve,
    stale_note,
    sunset_notes,
)

__all__ = [
    "ArmRequest",
    "Catalog",
    "EndpointPreset",
    "Ladder",
    "ModelCard",
    "OnUnsupported",
    "Rung",
    "choose_effort",
    "load_catalog",
    "load_ladder",
    "narrow",
    "parse_arm",
    "resolve",
    "shipped_ladders",
    "stale_note",
    "sunset_notes",
    "user_config_dir",
]
