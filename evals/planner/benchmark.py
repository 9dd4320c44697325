"""Does the plan beat every fixed choice on tasks it has not seen?

Compares it with fixed arms, fixed ladders, routers and cascades on held-out tasks. Run it with
`python evals/planner/benchmark.py --data DIR [--set NAME …] [--seeds N]`; see README.md for the method.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from _judge import hold, verdicts
from _report import refresh_readme, result, table
from _sets import STUDIES

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "../shared/data"


def run(name: str, *, data: Path, seeds: int, every: int) -> None:
    """Run one study, print its tables and write its result."""
    study = STUDIES[name]
    matrix = study.load(data)
    matrix = matrix.select_tasks(np.arange(0, len(matrix), every))
    began = time.process_time(), time.perf_counter()
    found = [
        {"check": check.name, "methods": verdicts(court)}
        for check, court in hold(study, matrix, seeds=seeds)
    ]
    took = {"CPU": time.process_time() - began[0], "wall": time.perf_counter() - began[1]}
    record = result(study, matrix, found, seeds=seeds, took=took)
    (HERE / "results").mkdir(exist_ok=True)
    target = HERE / "results" / f"{name}.json"
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record))


def main() -> int:
    """Run the studies asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the outcome files")
    parser.add_argument("--set", action="append", choices=STUDIES, help="default: all")
    parser.add_argument("--seeds", type=int, default=10, help="random splits or draws of verdicts")
    parser.add_argument("--every", type=int, default=1, help="only each N-th task: a quick look")
    options = parser.parse_args()
    names: list[str] = options.set or list(STUDIES)
    missing = [n for n in names if not (options.data / f"{STUDIES[n].file}.jsonl.gz").is_file()]
    if missing:
        print(
            f"error: {options.data} has no outcome file for {', '.join(missing)}; name the folder "
            "that holds the *.jsonl.gz files with --data",
            file=sys.stderr,
        )
        return 2
    for name in names:
        run(name, data=options.data, seeds=options.seeds, every=options.every)
    refresh_readme(HERE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
