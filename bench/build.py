"""Builds: what a phase costs besides the model and the caller's commands, in a small and in a large repository."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

from bench.shapes import Figure
from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator

#: Files in one folder of the invented repository.
_PER_FOLDER = 100
#: Phases whose median counts.
_PHASES = 5


def run(directory: Path, files: int) -> list[Figure]:
    """All figures, with a repository of so many files."""
    small = _phase(_repository(directory / "small", 50), directory / "small.db")
    large = _phase(_repository(directory / "large", files), directory / "large.db")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Figure("build, a phase in a repository of 50 files", small, "s", None, 2, "lower"),
        Figure(f"build, a phase in a repository of {files:,} files", large, "s", None, 2, "lower"),
        Figure("build, memory of the whole process at most", peak, "MB", None, 300, "lower"),
    ]


def _repository(root: Path, files: int) -> Path:
    for number in range(files):
        folder = root / f"package{number // _PER_FOLDER:04}"
        if number % _PER_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"module{number:06}.py").write_text(f"VALUE = {number}\n")
    return root


def _phase(root: Path, database: Path) -> float:
    """Seconds that one phase took, health checks included: the median of a few."""
    turn = iter(range(1, 1_000))

    def model(prompt: str) -> str:
        change = {"path": "package0000/module000000.py", "mode": "modify", "new_content": f"VALUE = -{next(turn)}\n"}
        return json.dumps({"summary": "Changed a value.", "files": [change]})

    spec = {"description": "Change a value.", "deliverables": ["package0000/module000000.py"]}
    took = []
    with PhaseExecutor(model, root, database) as executor:
        orchestrator = PhaseOrchestrator(executor)
        for _ in range(_PHASES):
            began = time.perf_counter()
            result = orchestrator.run_phases([spec])
            took.append(time.perf_counter() - began)
            assert result["successful_phases"] == 1, result["phase_results"]
    return sorted(took)[_PHASES // 2]
