"""Records the answers of the conference example: python record_conference.py FOLDER

The answers are invented, so that the example runs without a key. With a model of your own,
``phasegate documents run ... --model provider:name --record FOLDER`` records in the same form.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from phasegate import Engine
from phasegate.apps.documents import projects, studio
from phasegate.apps.documents.projects import Verdict
from phasegate.llm import Client, Recorder, Request, Response

HERE = Path(__file__).parent
DEFINITION = HERE.parent / "workflows" / "conference_programme.json"

BRIEF = {
    "title": "Plain Software Days",
    "audience": "People who build and run software in organisations of fewer than fifty. Most of them do everything: they "
    "write it, run it, and answer when it fails.",
    "goals": [
        "Everybody takes home one habit that makes the next night quieter.",
        "Everybody has seen a small system explained from one end to the other.",
    ],
    "format": {"days": 1, "rooms": 2, "talk_minutes": 30},
    "out_of_scope": ["product presentations", "organisations with departments for single tools"],
    "assumptions": ["The rooms hold sixty people each."],
}
TRACKS = {
    "tracks": [
        {
            "id": "small-data",
            "title": "Small Data",
            "audience": "Those whose data fit on one machine and who wonder what they are missing.",
            "purpose": "Shows systems from one end to the other, which is the second goal.",
            "slots": 2,
        },
        {
            "id": "quiet-nights",
            "title": "Quiet Nights",
            "audience": "Those who are called when something fails.",
            "purpose": "Gives the habits of the first goal.",
            "slots": 2,
        },
    ],
    "rationale": "Two rooms, two goals. Those who build start in one, those who run in the other, and both can change at noon.",
}
OUTLINES = {
    "small-data": {
        "storyline": "The day begins with a table that everybody has at home. It grows until it hurts, and is then looked at "
        "closely instead of being moved. At the end one machine does what was thought to need ten.",
        "prerequisites": ["You have written a query that joins two tables."],
        "themes": [
            {"title": "One file", "question": "How far does a single file carry?"},
            {"title": "Looking closely", "question": "What does the plan of a query tell?"},
        ],
    },
    "quiet-nights": {
        "storyline": "A night is told as it was, minute by minute. Then it is told again as it could have been, with the "
        "habits that would have ended it early. The last talk turns them into a page for the wall.",
        "prerequisites": [],
        "themes": [
            {"title": "The first five minutes", "question": "What do you look at before you touch anything?"},
            {"title": "What stays", "question": "What is changed so that it does not come back?"},
        ],
    },
}
TALKS = {
    "small-data": [
        (
            "one-file",
            "How far one file carries",
            "One file",
            "Choose a database by what it must survive.",
            "a maintainer",
        ),
        ("plans", "Reading the plan", "Looking closely", "Find the one index that is missing.", "a database engineer"),
    ],
    "quiet-nights": [
        (
            "five-minutes",
            "Before you touch it",
            "The first five minutes",
            "Write down what you see first.",
            "an operator",
        ),
        ("wall", "A page for the wall", "What stays", "Keep a page that is read at night.", "a team lead"),
    ],
}
ABSTRACT = (
    "This talk takes one afternoon's work and goes through it slowly. It begins with what was there, a system like those most "
    "of us have, shows what was tried first and why that did not help, and then the change that did. Every step is shown as it "
    "was typed, with the numbers before and after. There is time for the doubts of the room at the end, and the page with all "
    "commands can be taken home. Nothing in it needs more than one machine, one evening and a little patience."
)


class Invented(Client):
    """Answers as a good model might."""

    async def generate(self, request: Request) -> Response:
        """The document that the request is about."""
        text = json.dumps(answer(request.user), indent=2)
        prompt, given = len(request.system + request.user) // 4, len(text) // 4
        return Response(text, prompt, given, prompt + given, model="invented", stop_reason="complete", seconds=0.0)


def answer(prompt: str) -> Any:
    """The document of a prompt, told by its type and the items it names."""
    kind = re.findall(r"of type (\w+)", prompt)[-1]
    if kind == "event_brief":
        return BRIEF
    if kind == "track_plan":
        return TRACKS
    named = re.findall(r'"id": "([a-z-]+)"', prompt)[0]
    if kind == "track_outline":
        return OUTLINES[named]
    if kind == "talk_list":
        names = ("id", "title", "theme", "takeaway", "speaker_profile")
        return {"talks": [dict(zip(names, talk, strict=True)) for talk in TALKS[named]]}
    talk = next(each for talks in TALKS.values() for each in talks if each[0] == named)
    return {
        "title": talk[1], "abstract": ABSTRACT, "level": "introductory",
        "takeaways": [talk[3], "Decide what to leave as it is."],
    }  # fmt: skip


def record(folder: Path) -> None:
    """Run the example with the invented answers, accepting everything, and record them in ``folder``."""
    place = studio.Studio(str(DEFINITION.parent / "prompts"), replay=str(folder))
    executor = place.executor(Recorder(Invented(), folder))
    with studio.open_engine("sqlite://", None) as engine:
        run = studio.start(engine, studio.read_definition(DEFINITION), "demo", place, executor=executor)
        accept_everything(engine, run.id)


def accept_everything(engine: Engine, run_id: str) -> None:
    """Do the run to its end."""
    while True:
        engine.drain()
        run = engine.get(run_id)
        waiting = projects.waiting(run, projects.workflow_of(run))
        if not waiting:
            return
        for each in waiting:
            projects.decide(engine, run, each, Verdict(True, by="chair@example.com", role="chair"))


if __name__ == "__main__":
    record(Path(sys.argv[1]))
