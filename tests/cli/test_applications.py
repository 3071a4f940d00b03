"""An application plugs in by the place of its Typer application, and is imported only when it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from phasegate.cli.app import APPLICATIONS
from tests.cli.conftest import Call

TILL = """
    import typer

    from phasegate.cli.session import Session, command

    app = typer.Typer()


    def ring(session: Session, amount: int) -> None:
        '''Ring up an amount.'''
        session.answer({"amount": amount, "database": session.database, "tenant": session.tenant}, f"rung up {amount}")


    def empty(session: Session) -> None:
        '''Empty the till.'''
        raise RuntimeError("it is jammed")


    command(app, ring)
    command(app, empty)
"""


@pytest.fixture(autouse=True)
def _applications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "till_of_a_test.py").write_text(dedent(TILL))
    (tmp_path / "needy_till_of_a_test.py").write_text("import not_installed_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "till_of_a_test", raising=False)
    monkeypatch.setitem(APPLICATIONS, "till", ("till_of_a_test:app", "Take money."))
    monkeypatch.setitem(APPLICATIONS, "needy", ("needy_till_of_a_test:app", "Needs something."))
    monkeypatch.setitem(APPLICATIONS, "absent", ("absent_till_of_a_test.cli:app", "Is not here."))


def test_help_names_an_application_without_importing_it(cli: Call) -> None:
    assert "Take money." in cli("--help").out
    assert "till_of_a_test" not in sys.modules


def test_an_application_gets_the_global_options_wherever_they_stand(cli: Call) -> None:
    assert cli("till", "ring", "5").out == "rung up 5\n"
    before = cli("--json", "--tenant", "second", "till", "ring", "5")
    after = cli("till", "ring", "5", "--json", "--tenant", "second")
    assert before.data == after.data
    assert before.data["tenant"] == "second"
    assert "Ring up an amount." in cli("till", "--help").out


def test_mistakes_in_an_application_end_like_all_others(cli: Call) -> None:
    wrong = cli("till", "ring", "much")
    assert (wrong.code, wrong.err.splitlines()[-1]) == (2, "hint: phasegate till ring --help")
    jammed = cli("till", "empty")
    assert (jammed.code, jammed.out) == (1, "")
    assert jammed.err == "error: RuntimeError: it is jammed (run again with --verbose to see where)\n"


def test_an_application_that_is_not_there_does_not_disturb_the_others(cli: Call) -> None:
    absent = cli("absent", "ring")
    assert (absent.code, absent.err) == (2, "error: the application 'absent' is not installed\n")
    needy = cli("needy", "ring")
    assert needy.code == 1
    assert "No module named 'not_installed_anywhere'" in needy.err
    assert cli("till", "ring", "1").code == 0
