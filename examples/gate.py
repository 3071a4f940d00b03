"""A person decides, and the decision is bound to what the person saw."""

from phasegate import Context, Engine, Flow, Gate, Phase, Registry, Stale, Subject


def draft(context: Context) -> str:
    remarks = context.feedback["comment"] if context.feedback else "none"
    return f"Draft {context.attempt} (remarks so far: {remarks})"


def publish(context: Context) -> str:
    return f"published: {context.inputs['draft']}"


flow = Flow(
    "letters",
    version=1,
    phases=(
        Phase("draft", draft),
        Phase("release", gate=Gate(shows=("draft",), roles=("editor",)), needs=("draft",), redo={"rejected": "draft"}),
        Phase("publish", publish, needs=("release", "draft")),
    ),
)

with Engine("sqlite://", Registry(flow)) as engine:
    run = engine.start(flow, Subject("letter", "welcome"))
    engine.drain()
    print(engine.why(run.id)[0].text)

    seen = engine.get(run.id).at("release").shown
    engine.decide(run.id, "release", "rejected", by="kim@example.com", role="editor", seen=seen, comment="shorter")
    engine.drain()  # back to the draft, with the comment

    try:
        engine.decide(run.id, "release", "approved", by="kim@example.com", role="editor", seen=seen)
    except Stale as error:
        print(error)  # the draft is another one by now

    seen = engine.get(run.id).at("release").shown
    engine.decide(run.id, "release", "approved", by="kim@example.com", role="editor", seen=seen)
    engine.drain()
    print(engine.outputs(run.id)["publish"])
