"""Three phases, two subjects, one file: the smallest useful program."""

from phasegate import Context, Engine, Flow, Phase, Registry, Retry, Subject


def fetch(context: Context) -> dict[str, int]:
    return {"orders": len(context.subject.id)}


async def check(context: Context) -> str:
    return "large" if context.inputs["fetch"]["orders"] > 4 else "small"


def report(context: Context) -> str:
    return f"{context.subject} is {context.inputs['check']}"


flow = Flow(
    "customers",
    version=1,
    phases=(
        Phase("fetch", fetch, retry=Retry(attempts=3)),
        Phase("check", check, needs=("fetch",)),
        Phase("report", report, needs=("check",)),
    ),
)

with Engine("sqlite://", Registry(flow)) as engine:  # sqlite:///phasegate.db keeps the file
    runs = engine.start_many(flow, [Subject("customer", "acme"), Subject("customer", "globex")])
    engine.drain()
    for run in runs:
        print(engine.outputs(run.id)["report"])
