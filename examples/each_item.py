"""A phase repeated for every item of a list, and one that joins the results."""

from phasegate import Context, Engine, Flow, Phase, Registry, Subject


def chapters(context: Context) -> list[dict[str, str]]:
    return [{"id": "intro", "text": "Hello there"}, {"id": "body", "text": "This is the longer part"}]


def count_words(context: Context) -> int:
    return len(context.item["text"].split())


def total(context: Context) -> int:
    return sum(context.inputs["count_words"])


flow = Flow(
    "books",
    version=1,
    phases=(
        Phase("chapters", chapters),
        Phase("count_words", count_words, each="chapters"),
        Phase("total", total, needs=("count_words",)),
    ),
)

with Engine("sqlite://", Registry(flow)) as engine:
    run = engine.start(flow, Subject("book", "one"))
    engine.drain()
    print(engine.outputs(run.id)["count_words"])
    print(engine.outputs(run.id)["total"])
