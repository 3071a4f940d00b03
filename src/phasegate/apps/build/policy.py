"""Every limit and threshold of the build application, in one place; ``dataclasses.replace`` changes some of them."""

from __future__ import annotations

from dataclasses import dataclass

from phasegate.errors import InputError

#: What nobody may change unless they say otherwise.
DEFAULT_PROTECTED = (".autonomous_runs/", ".git/", "autopack.db")
#: Limits that must leave room for something: times, sizes, depths and counts.
_ABOVE_ZERO = (
    "call_timeout", "attempt_timeout", "run_timeout", "approval_timeout", "test_timeout", "lock_stale_after",
    "max_output_bytes", "max_answer_bytes", "max_answer_depth", "max_description_chars", "max_output_tokens", "batch_size",
    "same_error_limit",
)  # fmt: skip
#: As many seconds, some thirty years, and so much of what is no time.
_MOST_SECONDS = 10**9
_MOST = {"max_answer_depth": 1_000, "max_answer_bytes": 1 << 30, "max_output_bytes": 1 << 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits of build phases. Sizes are bytes, times are seconds, shares are of 1."""

    # What an answer may contain.
    max_file_bytes: int = 1 << 20
    max_total_bytes: int = 10 << 20
    max_changes: int = 100
    max_answer_bytes: int = 20 << 20
    max_answer_depth: int = 50
    max_summary_chars: int = 2_000
    max_description_chars: int = 50_000
    # What the model is shown.
    full_text_max_lines: int = 1_000
    max_context_file_bytes: int = 1 << 20
    max_directory_files: int = 40
    max_files_named: int = 40
    excerpt_head_lines: int = 200
    excerpt_tail_lines: int = 50
    context_margin: float = 0.02
    min_context_margin: int = 500
    # Output of one call, in tokens.
    max_output_tokens: int = 64_000
    growth_after_truncation: float = 1.25
    lines_format_from: int = 5
    batch_size: int = 5
    max_continuations: int = 2
    # What a change may do to a file.
    max_shrink: float = 0.6
    max_growth: float = 3.0
    growth_from_lines: int = 20
    max_churn_low: float = 0.3
    max_symbols_removed: float = 0.3
    require_parses: bool = True
    executable_globs: tuple[str, ...] = ("*.sh", "bin/*", "scripts/*")
    generated_globs: tuple[str, ...] = ("*.lock", "package-lock.json", "*.min.js", "*.min.css", "*_pb2.py")
    # Attempts.
    max_transient: int = 5
    transient_base: float = 1.0
    transient_cap: float = 60.0
    same_error_limit: int = 3
    call_timeout: float = 600.0
    attempt_timeout: float = 900.0
    run_timeout: float = 7_200.0
    # Approval.
    notify_from_risk: int = 30
    approval_from_risk: int = 60
    approval_timeout: float = 3_600.0
    approval_poll: float = 10.0
    approval_blocks: bool = False
    auto_approve: bool = False
    auto_approve_max_lines: int = 100
    # Health.
    test_timeout: float = 300.0
    max_output_bytes: int = 1 << 20
    min_free_bytes: int = 100 << 20
    max_manifest_bytes: int = 64 << 20
    # What is kept.
    keep_prompts: bool = False
    lock_stale_after: float = 600.0
    git_commit: bool = False

    def __post_init__(self) -> None:
        """Raises ``InputError`` for a limit with which nothing would work."""
        for name in _ABOVE_ZERO:
            value, most = getattr(self, name), _MOST.get(name, _MOST_SECONDS)
            if not 0 < value <= most:
                raise InputError(f"the limit {name} is {value}; it must be above 0, and at most {most:,}")
