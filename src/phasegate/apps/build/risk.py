"""How risky a set of changes is, and what follows: nothing, a notice, or that a person must approve it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import PhaseSpec, Planned
from phasegate.apps.build.validation.plausibility import line_changes, line_count
from phasegate.apps.build.validation.public_names import removed_names

Level = Literal["proceed", "notify", "approve"]
MOST = 100

#: From how many deleted files, and from how many lines that are gone, which points; the highest count first.
_DELETED_FILES = ((20, 60), (5, 30), (1, 10))
_DELETED_LINES = ((201, 60), (101, 30), (51, 10))
_MANY_FILES = 20

_NAMES = re.compile(
    r"makefile|cmakelists\.txt|justfile|rakefile|setup\.(?:py|cfg)|pyproject\.toml|tox\.ini|noxfile\.py|pom\.xml"
    r"|build\.(?:gradle(?:\.kts)?|sbt)"
    r"|(?:webpack|vite|rollup|babel|next)\.config\..+|tsconfig.*\.json|dockerfile.*|.*\.dockerfile|containerfile"
    r"|(?:docker-)?compose.*\.ya?ml|\.gitlab-ci\.yml|jenkinsfile|azure-pipelines\.ya?ml|\.travis\.yml"
    r"|\.pre-commit-config\.yaml|codeowners"
    r"|requirements.*\.(?:txt|in)|constraints.*\.txt|package(?:-lock)?\.json|yarn\.lock|pnpm-lock\.yaml|.*\.lock|pipfile"
    r"|conftest\.py|(?:site|user)customize\.py|.*\.pth|\.env.*|\.gitattributes|\.gitmodules"
    r"|go\.(?:mod|sum)|cargo\.toml|gemfile|composer\.json|procfile|.*\.tf|.*\.tfvars|alembic\.ini|nginx.*\.conf|\.htaccess|sudoers.*"
)
_FOLDERS = frozenset(
    {".github", ".gitlab", ".vscode", ".idea", ".circleci", ".buildkite", ".ci", "migrations", "alembic"}
    | {"k8s", "kubernetes", "helm", "terraform", "ansible", "deploy", "deployment", "deployments"}
)  # fmt: skip
#: Words that, in the name of a file or folder, say that it is about who may do what, or about the schema or the deployment.
_WORDS = frozenset(
    {"auth", "authn", "authz", "authentication", "authorization", "authorisation", "oauth", "oauth2", "jwt", "login", "logout"}
    | {"password", "passwords", "credential", "credentials", "permission", "permissions", "rbac", "acl", "security"}
    | {"migration", "migrate", "deploy", "deployment"}
)  # fmt: skip
_WORD = re.compile(r"[A-Z]?[a-z]+\d?|[A-Z]+(?![a-z])|\d+")
_CODE = frozenset(
    {".py", ".js", ".jsx", ".ts", ".tsx", ".go", ".rs", ".java", ".kt", ".rb", ".php", ".c", ".cc", ".cpp", ".h", ".hpp"}
    | {".cs", ".swift", ".scala", ".sh", ".sql", ".vue", ".svelte"}
)  # fmt: skip
_DOCUMENTS = frozenset({".md", ".rst", ".txt", ".adoc"})
_NEVER_AUTOMATIC = frozenset({"models", "model", "config", "configs", "configuration", "settings"})


@dataclass(frozen=True, slots=True)
class Risk:
    """How risky a change set is, from 0 to 100, why, and what follows."""

    score: int = 0
    reasons: tuple[str, ...] = ()
    level: Level = "proceed"


def assess(
    planned: Sequence[Planned], originals: Mapping[str, str], spec: PhaseSpec, *, last_of: bool = False,
    symbols_removed: int = 0, policy: Policy | None = None,
) -> Risk:  # fmt: skip
    """The risk of a change set. ``originals`` are the texts of the files it changes, by path; ``last_of`` says that it is the
    last attempt after at least two failures; ``symbols_removed`` how many public names are gone (``names_removed`` counts them).
    """
    policy = policy or Policy()
    factors = list(_factors(planned, originals, spec, last_of, symbols_removed))
    score = min(MOST, sum(points for points, _ in factors))
    return Risk(score, tuple(f"{reason} (+{points})" for points, reason in factors), level(score, policy))


def level(score: int, policy: Policy) -> Level:
    """What follows from a score; each limit belongs to the stricter side."""
    if score >= policy.approval_from_risk:
        return "approve"
    return "notify" if score >= policy.notify_from_risk else "proceed"


def auto_approvable(planned: Sequence[Planned], risk: Risk, policy: Policy) -> bool:
    """Whether the policy lets the change set pass without a person: only new tests and documents, short, and of low risk."""
    if not policy.auto_approve or not planned or risk.score >= policy.notify_from_risk:
        return False
    lines = sum(line_count(_text(each) or "") for each in planned)
    return lines <= policy.auto_approve_max_lines and all(_is_harmless(each) for each in planned)


def names_removed(planned: Iterable[Planned], originals: Mapping[str, str]) -> int:
    """How many public names of Python files are gone with the change set."""
    return sum(len(removed_names(each.path, originals.get(each.path), _text(each))[0]) for each in planned)


def summary(planned: Iterable[Planned], originals: Mapping[str, str]) -> str:
    """One line for each operation: what is done, to which file, and how many lines come and go."""
    lines = []
    for each in planned:
        added, removed = line_changes(originals.get(each.path), _text(each))
        lines.append(f"{each.op} {each.path} (+{added} -{removed})")
    return "\n".join(lines)


def _factors(
    planned: Sequence[Planned], originals: Mapping[str, str], spec: PhaseSpec, last_of: bool, symbols_removed: int
) -> Iterator[tuple[int, str]]:
    deleted = sum(each.op == "delete" for each in planned)
    yield from _tier(_DELETED_FILES, deleted, f"deletes {deleted} files" if deleted != 1 else "deletes a file")
    gone = sum(line_count(originals.get(each.path, "")) - line_count(_text(each) or "") for each in planned)
    yield from _tier(_DELETED_LINES, gone, f"{gone} lines fewer than before")
    delicate = [each.path for each in planned if is_delicate(each.path)]
    if delicate:
        yield 30, f"touches build, dependencies, schema, access or deployment: {', '.join(delicate[:3])}"
    if len(planned) > _MANY_FILES:
        yield 20, f"touches {len(planned)} files"
    if symbols_removed:
        yield 20, f"removes {symbols_removed} public names"
    code = [each for each in planned if PurePosixPath(each.path).suffix in _CODE and not is_test(each.path)]
    if code and not any(is_test(each.path) and each.op != "delete" for each in planned):
        yield 5, "changes code without tests"
    if last_of:
        yield 10, "is the last attempt after failures"
    if spec.requires_approval:
        yield 100, "the phase requires an approval"


def _tier(tiers: Iterable[tuple[int, int]], count: int, reason: str) -> Iterator[tuple[int, str]]:
    """The points of the highest tier that the count comes to."""
    points = next((points for least, points in tiers if count >= least), 0)
    yield from [(points, reason)] if points else []


def is_delicate(path: str) -> bool:
    """Whether a file is about build, CI, dependencies, migrations, access rights or deployment, as far as its name tells."""
    place = PurePosixPath(path)
    folders = {part.lower() for part in place.parts[:-1]}
    if _NAMES.fullmatch(place.name.lower()) or folders & _FOLDERS:
        return True
    if is_test(path) or place.suffix.lower() in _DOCUMENTS:
        return False
    words = {word.lower() for part in (*place.parts[:-1], place.stem) for word in _WORD.findall(part)}
    return bool(words & _WORDS) or place.suffix.lower() == ".sql"


def is_test(path: str) -> bool:
    """Whether a file is a test, as far as its name tells."""
    place = PurePosixPath(path)
    in_folder = any(part.lower() in ("test", "tests", "__tests__", "spec") for part in place.parts[:-1])
    stem = place.stem.lower()
    return in_folder or stem.startswith("test_") or stem.endswith(("_test", ".test", ".spec", "_spec"))


def _is_harmless(each: Planned) -> bool:
    place = PurePosixPath(each.path)
    if each.op != "create" or each.before.exists or is_delicate(each.path):
        return False
    parts = {part.lower() for part in place.parts}
    if parts & _NEVER_AUTOMATIC or any(part.startswith((".git", ".env")) for part in parts):
        return False
    is_new_test = place.parts[0] == "tests" and place.name.startswith("test_") and place.suffix == ".py"
    return is_new_test or (place.parts[0] == "docs" and place.suffix == ".md")


def _text(each: Planned) -> str | None:
    """The text that will be in the file; None for a deletion."""
    if each.data is None:
        return None
    encoding = "utf-16" if each.before.encoding == "utf-16" else "utf-8-sig"
    return each.data.decode(encoding, "replace").replace("\r\n", "\n")
