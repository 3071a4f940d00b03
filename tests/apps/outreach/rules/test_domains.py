from __future__ import annotations

import pytest
from hypothesis import given

from phasegate.apps.outreach.rules.domains import is_free_mail, mail_domain, same_organisation, site_domain
from tests.apps.outreach.rules.damage import values


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        ("https://www.acme.example", "acme.example"),
        ("HTTP://WWW.Acme.Example/path?q=1#x", "acme.example"),
        ("acme.example", "acme.example"),
        ("www8.acme.example:8080", "www8.acme.example"),
        ("https://user:secret@acme.example/", "acme.example"),
        ("acme.example.", "acme.example"),
        ("acme.example/?next=http://other.example", "acme.example"),
        ("https://m\u00fcnchen.example", "xn--mnchen-3ya.example"),
        ("http://localhost", None),
        ("https://192.168.0.1", None),
        ("https://-acme.example", None),
        ("acme..example", None),
        ("two words.example", None),
        ("a" * 64 + ".example", None),
        ("\u00fc" * 100 + ".example", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_the_domain_of_a_site(value: object, domain: str | None) -> None:
    assert site_domain(value) == domain


@pytest.mark.parametrize(
    ("value", "domain"),
    [("jo@Acme.example", "acme.example"), ("@acme.example", None), ("jo", None), ("jo@localhost", None), (None, None)],
)
def test_the_domain_of_an_address(value: object, domain: str | None) -> None:
    assert mail_domain(value) == domain


def test_domains_under_one_registered_name_belong_together() -> None:
    assert same_organisation("stock.acme.example", "mail.acme.example")
    assert same_organisation("shop.acme.co.uk", "acme.co.uk")
    assert not same_organisation("acme.co.uk", "other.co.uk")
    assert not same_organisation("acme.example", "acme.test")


def test_free_mail_is_known() -> None:
    assert is_free_mail("gmail.com")
    assert not is_free_mail("acme.example")


@pytest.mark.parametrize("text", ["a" * 300_000, "a." * 300_000, "-" * 300_000, "a:" * 300_000, "@" * 300_000])
def test_very_long_input_is_answered(text: str) -> None:
    assert site_domain(text) is None


@given(values)
def test_a_domain_is_lower_case_and_its_own_domain(value: object) -> None:
    domain = site_domain(value)
    assert domain is None or (domain == domain.lower() and "." in domain)
