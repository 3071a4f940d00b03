from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.rules.classification import Classification, classify
from phasegate.apps.discovery.rules.tokens import Phrases, says_nothing, tokens
from phasegate.apps.discovery.schema import ASSET_TYPES, FIELDS
from tests.apps.discovery.quality import accuracy, names

LINUX = "Red Hat Enterprise Linux 8"


def type_of(name: object = None, **fields: object) -> str:
    return classify({"name": name, **fields}).asset_type


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hostName01", ("host", "name", "01")),
        ("core-switch_2.example", ("core", "switch", "2", "example")),
        ("IPAddress", ("ip", "address")),
        ("IPs and CPUs", ("ips", "and", "cpus")),
        ("vCPU iOS GHz GiB", ("vcpu", "ios", "ghz", "gib")),
        ("Größe (GB)", ("grosse", "gb")),
        ("ÉTAT", ("etat",)),
        ("--", ()),
    ],
)
def test_tokens_are_split_at_separators_digits_and_humps(text: str, expected: tuple[str, ...]) -> None:
    assert tokens(text) == expected


@given(st.text())
def test_every_token_is_all_letters_or_all_digits_and_its_own_token(text: str) -> None:
    for token in tokens(text):
        assert token.isdigit() or not any(map(str.isdigit, token))
        assert tokens(token) == (token,)


def test_the_longest_phrase_is_found_and_plurals_with_it() -> None:
    known = Phrases([("load balancer", "balancer"), ("load", "load"), ("FortiOS", "wall"), ("load", "late")])
    assert list(known.found(tokens("two load balancers, a load, fortios, FortiOS"))) == [
        ("balancer", 3),
        ("load", 5),
        ("wall", 6),
        ("wall", 8),
    ]


@pytest.mark.parametrize(
    ("text", "nothing"), [("N/A", True), (" -- ", True), ("", True), ("none", True), ("no", False)]
)
def test_placeholders_say_nothing(text: str, nothing: bool) -> None:
    assert says_nothing(text) is nothing


# ---------------------------------------------------------------- the CI type


@pytest.mark.parametrize("asset_type", ASSET_TYPES)
def test_every_asset_type_is_understood_as_a_ci_type(asset_type: str) -> None:
    expected = Classification(asset_type, 0.95, "ci_type")
    record = {"name": "londb01", "operating_system": LINUX, "hostname": "londb01"}
    assert classify({**record, "asset_type": asset_type}) == expected
    assert classify({**record, "asset_type": asset_type.replace("_", " ").title()}) == expected


@pytest.mark.parametrize(
    ("ci_type", "expected"),
    [
        ("Access Switch", "network"),
        ("ToR Switch", "network"),
        ("SAN Switch", "network"),
        ("Router", "network"),
        ("Web Application Firewall", "network"),
        ("Application Server", "server"),
        ("app server", "server"),
        ("VM Host", "server"),
        ("License Server", "server"),
        ("cmdb_ci_win_server", "server"),
        ("Database Server", "database"),
        ("AWS::RDS::DBInstance", "database"),
        ("Datenbankserver", "database"),
        ("Virtual Server", "virtual_machine"),
        ("Microsoft.Compute/virtualMachines", "virtual_machine"),
        ("Kubernetes Cluster", "container"),
        ("Network Security Group", "security_group"),
        ("Storage Array", "storage"),
        ("Load Balancer Service", "load_balancer"),
        ("Business Service", "application"),
        ("Fachanwendung", "application"),
        ("Software Component", "component"),
        ("PDU", "other"),
        ("Patch Panel", "other"),
        ("UPS", "other"),
        ("Network Printer", "other"),
    ],
)
def test_a_ci_type_is_what_its_heaviest_and_last_word_says(ci_type: str, expected: str) -> None:
    assert classify({"name": "albany", "asset_type": ci_type}) == Classification(expected, 0.95, "ci_type")


@pytest.mark.parametrize("ci_type", ["Hardware", "n/a", "-", "", None, 7, "SW"])
def test_a_ci_type_that_says_nothing_leaves_it_to_the_name(ci_type: object) -> None:
    assert classify({"name": "core-switch-2", "asset_type": ci_type}).rule == "name.network"


# ---------------------------------------------------------------- names and what else is in the row


@pytest.mark.parametrize(
    ("name", "system", "expected"),
    [
        ("webserver01", LINUX, "server"),
        ("feedback-tool", "", "application"),
        ("albany", LINUX, "server"),
        ("sanitizer", "", "other"),
        ("core-switch-2", "", "network"),
    ],
)
def test_names_of_the_vectors(name: str, system: str, expected: str) -> None:
    assert type_of(name, operating_system=system) == expected


@pytest.mark.parametrize("name", ["switchboard", "chrome", "albany", "feedback", "artisan01", "observer01", "jonas01"])
def test_a_word_within_a_word_means_nothing(name: str) -> None:
    assert classify({"name": name}) == Classification("other", 0.1, "none")
    assert type_of(name, operating_system=LINUX) == "server"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LONDB01", "database"),
        ("fradbprd2", "database"),
        ("dbsrv-3", "database"),
        ("nycsw3", "network"),
        ("berlb01", "load_balancer"),
        ("lonnas01", "storage"),
        ("lonweb_dev_2", "server"),
        ("web-prod-03", "server"),
        ("Buchhaltungsserver", "server"),
        ("Kundendatenbank", "database"),
        ("Urlaubsportal", "application"),
        ("sg-0a1b2c3d4e5f67890", "security_group"),
        ("checkout-6b8d7c9f5d-q4zlm", "container"),
    ],
)
def test_joined_words_are_read_where_no_common_word_is_like_them(name: str, expected: str) -> None:
    assert type_of(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sql-crm-prod-02", "database"),
        ("lon-san-01", "storage"),
        ("sw-san-01", "network"),
        ("lb-web-prod", "load_balancer"),
        ("vm-web-03", "virtual_machine"),
        ("container-redis-7", "container"),
        ("k8s-node-01", "server"),
        ("api-gateway-01", "server"),
        ("san-francisco-web01", "server"),
        ("web-3f5a", "server"),
        ("srv1.network.example.com", "server"),
    ],
)
def test_an_operating_system_makes_a_server_of_what_is_called_nothing_more_particular(name: str, expected: str) -> None:
    assert type_of(name, operating_system=LINUX) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Database Backup Tool", "application"),
        ("Oracle ERP (PROD)", "application"),
        ("switch-inventory-tool", "application"),
        ("Customer Database", "database"),
        ("nas_backup", "storage"),
        ("mysql-client", "application"),
    ],
)
def test_the_last_word_of_a_phrase_can_make_it_a_program(name: str, expected: str) -> None:
    assert type_of(name) == expected


def test_a_server_with_the_name_of_its_application_stays_a_server() -> None:
    assert type_of("lonx01", operating_system=LINUX, application_name="Payroll Portal") == "server"
    assert type_of("lonx01", hostname="lonx01", application_name="Payroll Portal") == "server"
    assert classify({"application_name": "Payroll"}) == Classification("application", 0.5, "application_name")


def test_a_hostname_outranks_generic_words_and_not_particular_ones() -> None:
    assert type_of("portal", hostname="portal.example.com") == "server"
    assert type_of("backup storage", hostname="bck7") == "storage"
    assert type_of(None, hostname="lon-san-7") == "storage"
    assert type_of("vpn", hostname="lonx7") == "network"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"operating_system": "FortiOS 7.2"}, "network"),
        ({"operating_system": "Cisco IOS 15.2"}, "network"),
        ({"operating_system": "NetApp ONTAP 9"}, "storage"),
        ({"operating_system": "iPadOS 16"}, "other"),
        ({"operating_system": LINUX, "model": "VMware Virtual Platform"}, "virtual_machine"),
        ({"operating_system": LINUX, "manufacturer": "Oracle"}, "server"),
        ({"model": "PowerEdge R740"}, "server"),
        ({"manufacturer": "Fortinet"}, "network"),
        ({"server_role": "Domain Controller"}, "server"),
        ({"server_role": "Database"}, "database"),
        ({"database_type": "PostgreSQL"}, "database"),
        ({"operating_system": "n/a"}, "other"),
    ],
)
def test_hardware_role_and_system_tell_what_a_name_does_not(fields: dict[str, str], expected: str) -> None:
    assert type_of("albany", **fields) == expected


def test_the_more_is_said_the_more_certain_it_is() -> None:
    rows: list[dict[str, Any]] = [
        {"name": "albany", "asset_type": "Server"},
        {"name": "londb01"},
        {"name": "albany", "operating_system": LINUX},
        {"name": "feedback-tool"},
        {"name": "albany"},
    ]
    certain = [classify(row).confidence for row in rows]
    assert certain == sorted(certain, reverse=True)
    assert len(set(certain)) == len(certain)


# ---------------------------------------------------------------- whatever comes

_anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text(), max_size=2)
)
_words = st.lists(st.sampled_from(["db", "F5", "switch", "tool", "Server", "01", "s", "É", "3par", "prod"]), max_size=5)
_values = st.one_of(
    _anything, st.tuples(st.sampled_from([" ", "-", "", "."]), _words).map(lambda two: two[0].join(two[1]))
)


@given(st.dictionaries(st.one_of(st.sampled_from(sorted(FIELDS)), st.text()), _values, max_size=8))
@settings(max_examples=500)
def test_any_row_is_classified(record: dict[str, Any]) -> None:
    found = classify(record)
    assert found.asset_type in ASSET_TYPES
    assert 0 <= found.confidence <= 1
    assert found == classify(record)
    assert (found.rule == "none") <= (found.asset_type == "other")


def test_a_very_long_cell_is_classified() -> None:
    assert type_of("-".join(["a1"] * 200_000)) == "other"
    assert type_of("sg-" * 200_000, operating_system="x" * 1_000_000) == "server"


# ---------------------------------------------------------------- how well


def test_names_that_others_labelled_are_classified_as_they_did() -> None:
    labelled = names()
    assert len(labelled) >= 300
    assert {each.expected for each in labelled} == set(ASSET_TYPES)
    assert accuracy(labelled) >= 0.95
