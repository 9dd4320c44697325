"""Fill the outcome matrix with live answers: arms x tasks x repetitions.

```
EVAL.toml -> load_config -> prepare -> run_eval -> run folder (journal, outcomes, config)
run folder -> open_run -> run_eval again (resume) | rescore_run | merge_runs
```

The journal is the truth; tables are made from it. A call that is finished is never made again, whatever
kills the process, and no budget is ever exceeded by what is in flight.
"""

from effortctl.harness.runner._config import EvalConfig, PolicySpec, load_config, read_shard
from effortctl.harness.runner._estimate import ArmEstimate, RunEstimate, estimate_run
from effortctl.harness.runner._folder import OUTCOMES, RESULT, RunHeader, read_header
from effortctl.harness.runner._inputs import Inputs, prepare
from effortctl.harness.runner._journal import History, read_history
from effortctl.harness.runner._merge import merge_runs, open_run, rescore_run
from effortctl.harness.runner._run import run_eval
from effortctl.harness.runner._table import RunSummary
from effortctl.harness.runner._tools import Progress, Tools
from effortctl.harness.runner._verdict import evaluate_run

__all__ = [
    "OUTCOMES",
    "RESULT",
    "ArmEstimate",
    "EvalConfig",
    "History",
    "Inputs",
    "PolicySpec",
    "Progress",
    "RunEstimate",
    "RunHeader",
    "RunSummary",
    "Tools",
    "estimate_run",
    "evaluate_run",
    "load_config",
    "merge_runs",
    "open_run",
    "prepare",
    "read_header",
    "read_history",
    "read_shard",
    "rescore_run",
    "run_eval",
]
