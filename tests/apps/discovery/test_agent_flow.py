"""Flows whose field mapping a model proposes, over real HTTP: good proposals, those that cannot be used, and no agent at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.discovery import AgentPool, Discovery, Tenant, open_engine
from phasegate.apps.discovery.agents.llm_agents import LlmAgent
from phasegate.apps.discovery.agents.protocol import Limits
from phasegate.apps.discovery.schema import CUSTOM, FIELDS, UNMAPPED
from phasegate.llm import ProviderClient
from tests.apps.discovery.steps import made, mapped, names, waits_for, write
from tests.llm.server import KEY, Answer, Failure, FakeProvider, Seen

MODEL = "openai:gpt-4o-mini"
ROWS = [
    {"Bezeichnung": "alpha", "Arbeitsspeicher": "64 GB", "Kiste": "7", "Notiz": "ours"},
    {"Bezeichnung": "beta", "Arbeitsspeicher": "32 GB", "Kiste": "8", "Notiz": ""},
]
GOOD = {"Bezeichnung": "name", "Arbeitsspeicher": "memory_gb", "Kiste": "rack_location", "Notiz": UNMAPPED}


def proposal(targets: Mapping[str, str] = GOOD, *more: tuple[str, str]) -> str:
    """What a model answers."""
    pairs = [*targets.items(), *more]
    return json.dumps(
        {
            "mappings": [
                {
                    "source_field": source,
                    "target_field": target,
                    "confidence": 0.75,
                    "reasoning": f"looks like {target}",
                }
                for source, target in pairs
            ]
        }
    )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    with FakeProvider() as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake


@pytest.fixture
def address(tmp_path: Path) -> str:
    """One kind of database is enough: what agents answer is written as what the rules answer is."""
    return f"sqlite:///{tmp_path}/discovery.db"


@pytest.fixture
def pool() -> AgentPool:
    return AgentPool(lambda config: LlmAgent(config, ProviderClient(MODEL), Limits(max_requests=2)))


@pytest.fixture
def discovery(address: str, pool: AgentPool) -> Iterator[Discovery]:
    with open_engine(address, agents=pool) as engine:
        yield Discovery(engine, Tenant("northwind", "q4", "ann"))


def begun(discovery: Discovery, folder: Path) -> str:
    flow = discovery.create(write(folder / "a.csv", ROWS), configuration={"mode": "agent"}).flow_id
    discovery.work()
    return flow


def output_of(discovery: Discovery, flow: str) -> Any:
    return discovery.engine.outputs(discovery.flow(flow).run.id, tenant=discovery.tenant.name)["field_mapping"]


def payload(seen: Seen) -> Any:
    return json.loads(seen.user.partition("as JSON:\n")[2])


def test_a_good_proposal_is_put_to_people_and_carried_out(
    discovery: Discovery, server: FakeProvider, pool: AgentPool, tmp_path: Path
) -> None:
    server.script(Answer(proposal()))
    flow = begun(discovery, tmp_path)
    assert waits_for(discovery, flow) == "field_mapping"
    told = output_of(discovery, flow)
    assert told["mode"] == "agent"
    assert {each["source_field"]: each["target_field"] for each in told["mappings"]} == GOOD
    found = {each["source_field"]: each for each in discovery.mappings(flow)}
    assert {each["suggested_by"] for each in found.values()} == {"agent"}
    assert {each["status"] for each in found.values()} == {"suggested"}  # a person still has to say so
    assert (found["Kiste"]["confidence"], found["Kiste"]["agent_reasoning"]) == (0.75, "looks like rack_location")
    assert (found["Notiz"]["confidence"], found["Notiz"]["match_type"]) == (0, "none")
    mapped(discovery, flow)
    made(discovery, flow)
    assert names(discovery) == ["alpha", "beta"]
    first, second = discovery.assets()
    assert (first["memory_gb"], first["rack_location"], first["custom_attributes"]) == (64, "7", {"Notiz": "ours"})
    assert second["custom_attributes"] is None
    assert (pool.statistics()["requests"], pool.statistics()["errors"]) == (1, 0)


def test_the_model_is_shown_the_columns_with_some_values_and_the_fields_there_are(
    discovery: Discovery, server: FakeProvider, tmp_path: Path
) -> None:
    server.script(Answer(proposal()))
    begun(discovery, tmp_path)
    (seen,) = server.seen
    assert payload(seen)["columns"] == [
        {"name": "Bezeichnung", "samples": ["alpha", "beta"]},
        {"name": "Arbeitsspeicher", "samples": ["64 GB", "32 GB"]},
        {"name": "Kiste", "samples": ["7", "8"]},
        {"name": "Notiz", "samples": ["ours"]},
    ]
    assert payload(seen)["target_schema"] == sorted(FIELDS)
    assert CUSTOM in seen.user


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (proposal(GOOD | {"Kiste": "name"}), "it uses 'name' for more than one column"),
        (proposal({key: GOOD[key] for key in list(GOOD)[1:]}), "it leaves out 'Bezeichnung'"),
        (proposal(GOOD, ("Kiste", "model")), "it has 'Kiste' more than once"),
        (proposal(GOOD | {"Kiste": "name"}, ("Notiz", CUSTOM)), "it has 'Notiz' more than once; it uses 'name'"),
        (json.dumps({"mappings": []}), "it leaves out 'Bezeichnung'"),
    ],
    ids=["a field twice", "a missing column", "a column twice", "both", "nothing"],
)  # fmt: skip
def test_a_proposal_that_cannot_be_used_fails_the_phase_and_retry_asks_again(
    discovery: Discovery, server: FakeProvider, tmp_path: Path, answer: str, said: str
) -> None:
    server.script(Answer(answer))
    flow = begun(discovery, tmp_path)
    status = discovery.status(flow)
    assert (status["status"], status["error_phase"], status["current_phase"]) == (
        "failed", "field_mapping", "field_mapping",
    )  # fmt: skip
    assert said in status["error_message"]
    assert "retry the phase, or begin the flow with mode direct" in status["error_message"]
    assert discovery.mappings(flow) == []  # neither the agent's proposal nor one that stands for it
    assert len(server.seen) == 1
    server.script(Answer(proposal()))
    assert discovery.retry(flow)["attempt"] == 2
    discovery.work()
    assert waits_for(discovery, flow) == "field_mapping"
    assert output_of(discovery, flow)["mode"] == "agent"
    assert {each["source_field"]: each["target_field"] for each in discovery.mappings(flow)} == GOOD
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        "I would rather not.",
        "",
        proposal(GOOD | {"Kiste": "box_number"}),
        proposal(GOOD, ("Nowhere", "model")),
        proposal().replace("0.75", "7.5"),
        proposal().replace("0.75", "NaN"),
        '{"status": "error", "error": "overloaded"}',
    ],
    ids=["prose", "empty", "no such field", "no such column", "too sure", "no number", "an error"],
)
def test_an_answer_that_is_no_proposal_is_asked_for_again_and_then_given_up(
    discovery: Discovery, server: FakeProvider, tmp_path: Path, answer: str
) -> None:
    server.script(Answer(answer), Answer(answer))
    flow = begun(discovery, tmp_path)
    status = discovery.status(flow)
    assert (status["status"], status["error_phase"]) == ("failed", "field_mapping")
    assert "no usable answer after 2 requests" in status["error_message"]
    assert (discovery.mappings(flow), len(server.seen)) == ([], 2)
    server.script(Answer(answer), Answer(proposal()))  # the second answer is taken
    discovery.retry(flow)
    discovery.work()
    assert waits_for(discovery, flow) == "field_mapping"


def test_a_refused_key_fails_the_phase_without_telling_it(
    discovery: Discovery, server: FakeProvider, tmp_path: Path
) -> None:
    server.script(Failure(401, f"Incorrect API key provided: {KEY}"))
    flow = begun(discovery, tmp_path)
    assert discovery.status(flow)["status"] == "failed"
    everything = json.dumps([discovery.status(flow, details=True), discovery.audit(flow)], default=str)
    assert "cannot ask its model" in everything
    assert KEY not in everything


def test_without_a_pool_the_flow_fails_with_what_to_do_and_goes_on_with_one(
    address: str, server: FakeProvider, pool: AgentPool, tmp_path: Path
) -> None:
    tenant = Tenant("northwind", "q4", "ann")
    with open_engine(address) as engine:
        found = Discovery(engine, tenant)
        flow = begun(found, tmp_path)
        status = found.status(flow)
        assert (status["status"], status["error_phase"]) == ("failed", "field_mapping")
        assert "give the engine an agent pool, or use mode direct" in status["error_message"]
        assert found.mappings(flow) == []
    server.script(Answer(proposal()))
    with open_engine(address, agents=pool) as engine:
        found = Discovery(engine, tenant)
        found.retry(flow)
        found.work()
        assert waits_for(found, flow) == "field_mapping"
        assert output_of(found, flow)["mode"] == "agent"


def test_with_a_pool_a_flow_asks_no_model_unless_it_wants_to(
    discovery: Discovery, server: FakeProvider, tmp_path: Path
) -> None:
    flow = discovery.create(write(tmp_path / "a.csv", ROWS)).flow_id
    discovery.work()
    assert output_of(discovery, flow)["mode"] == "direct"
    assert {each["suggested_by"] for each in discovery.mappings(flow)} == {"direct"}
    assert server.seen == []


def test_what_people_have_decided_is_not_undone_by_the_next_proposal(
    discovery: Discovery, server: FakeProvider, tmp_path: Path
) -> None:
    server.script(Answer(proposal()), Answer(proposal(GOOD | {"Kiste": "model", "Bezeichnung": "hostname"})))
    flow = begun(discovery, tmp_path)
    discovery.approve(flow, ["Kiste"])
    discovery.propose_again(flow)
    discovery.work()
    found = {each["source_field"]: (each["target_field"], each["status"]) for each in discovery.mappings(flow)}
    assert found["Kiste"] == ("rack_location", "approved")
    assert found["Bezeichnung"] == ("hostname", "suggested")
