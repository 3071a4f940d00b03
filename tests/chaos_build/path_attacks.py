"""Paths that are meant to get out of the repository or into what is protected, checked and then really written.

After every attack all files in the repository and around it are hashed. Whatever differs must be the file that the change names,
read by an oracle of its own, inside of the repository and not protected.
"""

from __future__ import annotations

import os
import posixpath
import random
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasegate.apps.build.errors import PhaseExecutorError
from phasegate.apps.build.paths.names import ancestors, normalise
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.validation.structure import check_changes
from tests.chaos_build.attack_world import PROTECTED, World

SEED = 20_260
Chance = random.Random

#: Where attackers want to go, written as they would be from the repository, and some harmless places.
OUTSIDE = (
    "../outside/secret.txt", "../outside/new.txt", "../../etc/passwd", "src/../../outside/secret.txt", "..", "../",
    "x/../.git/config", "src/deep/../../../outside/a/b.txt", ".../outside", "link_out/secret.txt",
    "link_out/new/x.py", "link_file", "dangling", "loop", "loop/x", "link_in/a.py", "link_in/new.py",
    "src/deep/link_up/outside/new.txt", "link_git/config", "link_git/hooks/post-commit", "src/link_git_file", "pipe",
    "src/a.py/below", "src", "src/deep",
)  # fmt: skip
PROTECTED_ONES = (
    ".git/config", ".git/hooks/pre-commit", ".git", ".GIT/config", ".Git/HEAD", "src/.git/config", "git~1/config",
    "GIT~1/hooks/x", ".git/./config", "vendor/lib/.git", "vendor/lib/.git/config", "SECRETS/key.txt",
    "Secrets", "Autopack.DB", "Certs/A.Pem", "gitstore/config",
    "gitstore/hooks/pre-commit", "gitstore", "worktree/HEAD", "worktree/commondir", "secrets/key.txt",
    "secrets/new/deep.txt", "secrets", "config/production.yaml", "config", "config/production.yaml/x", "autopack.db",
    ".autonomous_runs/x", ".autonomous_runs", "certs/a.pem", "new/b.pem", "state/journal.json",
)  # fmt: skip
HARMLESS = (
    "src/a.py", "src/new.py", "src/deep/b.py", "src/deep/newer/c.py", "docs/read me.md", "autopack.db-old",
    "secrets.txt", "secretsx/y", "docs/\u00fcber.md", "docs/u\u0308ber.md", ".gitignore", ".github/workflows/ci.yml",
    "hard.txt", "hard_git.txt", "src/..a/b", "a~b/c", "vendor/lib/code.c", "config/test.yaml",
    "config/production.yaml.bak", "git~x/y", "src/git/config", "secret/key.txt", "x%2e%2e/y",
)  # fmt: skip


def _component(chance: Chance, path: str, change: Callable[[str], str]) -> str:
    parts = path.split("/")
    at = chance.randrange(len(parts))
    parts[at] = change(parts[at])
    return "/".join(parts)


def _insert(chance: Chance, path: str, what: str) -> str:
    at = chance.randrange(len(path) + 1)
    return path[:at] + what + path[at:]


def _random_case(chance: Chance, path: str) -> str:
    return "".join(c.swapcase() if chance.random() < 0.4 else c for c in path)


def _wide(chance: Chance, path: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and chance.random() < 0.3 else c for c in path)


MUTATIONS: dict[str, Callable[[Chance, str], str]] = {
    "backslashes": lambda chance, path: path.replace("/", "\\", chance.choice((1, -1))),
    "dot-slash": lambda chance, path: "./" * chance.randint(1, 3) + path,
    "double-slash": lambda chance, path: path.replace("/", "//", 1),
    "inner-dot": lambda chance, path: path.replace("/", "/./", 1),
    "up-and-down": lambda chance, path: f"{chance.choice(('src', 'nowhere', 'src/deep/..'))}/../{path}",
    "climb": lambda chance, path: "../" * chance.randint(1, 6) + path,
    "absolute": lambda chance, path: f"/{path}",
    "real-absolute": lambda chance, path: f"{{base}}/{chance.choice(('outside', 'repo/.git', 'repo/src'))}/{path}",
    "dot-absolute": lambda chance, path: f".//{path}",
    "drive": lambda chance, path: chance.choice(("C:", "c:/", "Z:\\")) + path,
    "unc": lambda chance, path: chance.choice(("//host/share/", "\\\\host\\share\\", "\\\\?\\C:\\", "\\\\.\\pipe\\")) + path,
    "home": lambda chance, path: chance.choice(("~/", "~root/", "./~/", " ~/")) + path,
    "scheme": lambda chance, path: chance.choice(("file:///", "file:", "http://x.example/", "FILE://")) + path,
    "case": _random_case,
    "upper": lambda chance, path: path.upper(),
    "decomposed": lambda chance, path: unicodedata.normalize("NFD", path),
    "wide": _wide,
    "ignorable": lambda chance, path: _insert(chance, path, chance.choice("\u200c\u200d\u2060\ufeff\u00ad\u202e\u034f")),
    "lookalike": lambda chance, path: path.replace("i", chance.choice("\u0131\u0130\u0456"), 1).replace("k", "\u212a", 1),
    "slash-alike": lambda chance, path: path.replace("/", chance.choice("\u2215\u2044\uff0f\u29f8"), 1),
    "dot-alike": lambda chance, path: path.replace("..", chance.choice(("\u2025", "\uff0e\uff0e", ".\u200b."))),
    "trailing-dot": lambda chance, path: _component(chance, path, lambda name: name + "." * chance.randint(1, 3)),
    "space": lambda chance, path: _component(
        chance, path, lambda name: chance.choice((f"{name} ", f" {name}", f"{name}\u00a0", f"{name}\u3000"))
    ),
    "stream": lambda chance, path: _component(
        chance, path, lambda name: name + chance.choice(("::$DATA", ":x", "::$INDEX_ALLOCATION"))
    ),
    "device": lambda chance, path: _component(
        chance, path, lambda name: chance.choice(("CON", "nul.txt", "Aux", "com1.py", "LPT\u00b9", "CONIN$"))
    ),
    "zero": lambda chance, path: _insert(chance, path, chance.choice(("\0", "\n", "\r", "\x7f", "\x1b[2J", "\u2028", "\x85"))),
    "surrogate": lambda chance, path: _insert(chance, path, chance.choice(("\ud800", "\udcff"))),
    "forbidden": lambda chance, path: _insert(chance, path, chance.choice('*?"<>|:')),
    "percent": lambda chance, path: path.replace("..", "%2e%2e").replace("/", "%2f", chance.choice((0, 1))),
    "slash-end": lambda chance, path: path + chance.choice(("/", "/.", "//", "\\")),
    "long": lambda chance, path: chance.choice((f"{'x' * 256}/{path}", "y/" * 600 + path, f"{path}{chr(252) * 128}")),
    "nothing": lambda chance, path: path,
}  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """What became of the attacks. ``escapes`` and ``strays`` name every one that succeeded."""

    attacks: int = 0
    refused: int = 0
    stopped: int = 0
    written: int = 0
    races: int = 0
    #: Something outside of the repository differs.
    escapes: list[str] = field(default_factory=list)
    #: Something inside of it differs that is protected, or that the change did not name.
    strays: list[str] = field(default_factory=list)
    #: Something was raised that is no error of ours.
    crashes: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def held(self) -> bool:
        """Whether nothing got through, and harmless changes did."""
        return not (self.escapes or self.strays or self.crashes) and self.written > 0 and self.stopped > 0

    def told(self) -> str:
        """The figures on one line."""
        return (
            f"{self.attacks} path attacks of {len(self.kinds)} kinds: {self.refused} refused by the check, {self.stopped} at the"
            f" write, {self.written} written where they may ({self.races} with a swap in between); {len(self.escapes)} escapes,"
            f" {len(self.strays)} writes outside the allowed set, {len(self.crashes)} crashes"
        )


def attack(count: int, seed: int = SEED) -> Outcome:
    """Try ``count`` attacks, the same ones for the same seed; on a disk in memory if there is one, as it flushes often."""
    chance, outcome = random.Random(seed), Outcome()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as base:
        world = World(Path(base).resolve())
        for _ in range(count):
            _try(world, chance, outcome)
    return outcome


def _try(world: World, chance: Chance, outcome: Outcome) -> None:
    """One attack: make it, check it, carry out what passes, and look at everything."""
    kind, changes = _changes(world, chance)
    folds = chance.random() < 0.3
    race = chance.choice(world.RACES) if chance.random() < 0.3 else None
    outcome.attacks += 1
    outcome.kinds[kind] += 1
    done: list[str] = []
    try:
        root = Root(world.repository)
        root.folds = folds  # as on a disk that ignores case; the stricter of the two
        protection = Protection(PROTECTED, floor=["state"], folds=folds)
        if check_changes(changes, protection, root, Policy()):
            outcome.refused += 1
        else:
            _carry_out(world, root, chance, changes, race, done)
            outcome.written += 1
            outcome.races += race is not None
    except PhaseExecutorError:
        outcome.stopped += 1
    except Exception as error:
        outcome.crashes.append(f"{kind} {changes!r}: {error!r}")
    about = f"{kind} {[each['path'] for each in changes]!r} {race}"
    _judge(world, folds, [_oracle(each) for each in done], about, outcome)


def _changes(world: World, chance: Chance) -> tuple[str, list[dict[str, Any]]]:
    """Some changes, at least one of which is an attack, or harmless."""
    aims = {"outside": OUTSIDE, "protected": PROTECTED_ONES, "harmless": HARMLESS}
    aim = chance.choices(list(aims), (4, 4, 5))[0]
    path = chance.choice(aims[aim])
    # Some as they are: what is left to protect then are the disk and the entries.
    mutations = [chance.choice(list(MUTATIONS)) for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 3)))]
    for each in mutations:
        path = MUTATIONS[each](chance, path)
    path = path.replace("{base}", str(world.base))
    changes = [_change(chance, path)]
    if chance.random() < 0.3:
        changes.insert(chance.randrange(2), _change(chance, chance.choice(HARMLESS)))
    return "+".join(sorted({aim, *mutations[:1]})), changes


def _change(chance: Chance, path: str) -> dict[str, Any]:
    mode = chance.choice(("create", "modify", "delete"))
    return {"path": path, "mode": mode, "new_content": None if mode == "delete" else f"owned {chance.random()}\n"}


def _carry_out(
    world: World, root: Root, chance: Chance, changes: list[dict[str, Any]], race: str | None, done: list[str]
) -> None:  # fmt: skip
    first = normalise(changes[0]["path"])
    chance.choice(world.writers(root))(changes, lambda: world.swap(race, first) if race else None, done)


def _oracle(path: str) -> str:
    """What a path means, told without the code under test."""
    return posixpath.normpath(unicodedata.normalize("NFC", path.replace("\\", "/")))


def _judge(world: World, folds: bool, done: list[str], about: str, outcome: Outcome) -> None:
    """Compare everything with what it was, and build it anew if anything differs."""
    changed = world.changed()
    allowed = {*done, *(above for each in done for above in ancestors(each))}
    for path in changed:
        if not path.startswith("repo/"):
            outcome.escapes.append(f"{about}: {path}")
        elif path[5:] not in allowed or _is_protected(path[5:], folds):
            outcome.strays.append(f"{about}: {path}")
    if changed:
        world.build()


def _is_protected(path: str, folds: bool) -> bool:
    """Whether the oracle holds a file for protected."""
    names = path.split("/")
    if any(name.casefold() in (".git", "git~1") for name in names) or names[0] in ("gitstore", "worktree"):
        return True
    whole = path.casefold() if folds else path
    exact = ("secrets", "config/production.yaml", "autopack.db", ".autonomous_runs", "state")
    return whole.endswith(".pem") or any(whole == each or whole.startswith(f"{each}/") for each in exact)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    outcome = attack(count)
    print(f"{outcome.told()} (seed {SEED})")
    for each in (outcome.escapes + outcome.strays + outcome.crashes)[:20]:
        print(each.encode("utf-8", "backslashreplace").decode(), file=sys.stderr)
    return 0 if outcome.held else 1


if __name__ == "__main__":
    sys.exit(main())
