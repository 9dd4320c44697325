"""What other programs wrote becomes outcome rows; what an evaluation found becomes files for them.

One module per format. Files of data never run code: pickles are refused.
"""

from effortctl.harness.formats._batch import write_batch_requests
from effortctl.harness.formats._dollars import UserPrice, read_price
from effortctl.harness.formats._export import EXPORTS, ExportName, export_result
from effortctl.harness.formats._import import (
    FORMATS,
    FormatName,
    Imported,
    detect_format,
    import_outcomes,
)

__all__ = [
    "EXPORTS",
    "FORMATS",
    "ExportName",
    "FormatName",
    "Imported",
    "UserPrice",
    "detect_format",
    "export_result",
    "import_outcomes",
    "read_price",
    "write_batch_requests",
]
