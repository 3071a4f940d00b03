"""The business write and the completion are one commit; many subjects go through one call; a dry-run leaves nothing."""

from collections.abc import Sequence

import sqlalchemy as sa

from phasegate import Batch, Context, Engine, Flow, Phase, Registry, Subject

metadata = sa.MetaData()
prices = sa.Table("prices", metadata, sa.Column("article", sa.String, primary_key=True), sa.Column("cents", sa.Integer))
INSERT = sa.insert(prices)


def price(contexts: Sequence[Context]) -> list[int | Exception]:
    results: list[int | Exception] = []
    for context in contexts:
        cents = 100 * len(context.subject.id)
        if cents > 500:
            results.append(ValueError("too expensive"))  # fails this subject and no other
            continue
        context.write(INSERT, {"article": context.subject.id, "cents": cents})
        results.append(cents)
    return results


flow = Flow("pricing", version=1, phases=(Phase("price", price, batch=Batch(size=500)),))
articles = [Subject("article", name) for name in ("nut", "bolt", "washer")]

with Engine("sqlite://", Registry(flow)) as engine:
    engine.create_tables(metadata)
    rehearsal = engine.run_phase(flow, "price", articles, dry_run=True)
    print(f"would succeed: {len(rehearsal.succeeded)}, rows now: {len(engine.read(sa.select(prices)))}")

    report = engine.run_phase(flow, "price", articles)
    print(f"succeeded: {len(report.succeeded)}, failed: {report.failed[0].reason}")
    print([dict(row) for row in engine.read(sa.select(prices).order_by(prices.c.article))])
