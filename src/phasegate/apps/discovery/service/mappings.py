"""Deciding about the data and about the field mapping."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from phasegate.apps.discovery.errors import DiscoveryError, FlowNotFound, ValidationFailed
from phasegate.apps.discovery.phases.common import dump, load
from phasegate.apps.discovery.projection import PROPOSED_AGAIN
from phasegate.apps.discovery.rules.mapping import band
from phasegate.apps.discovery.rules.mapping_checks import check_mappings, check_target
from phasegate.apps.discovery.rules.profile_report import undecided
from phasegate.apps.discovery.schema import CUSTOM, UNMAPPED
from phasegate.apps.discovery.service.base import Base, Entry, Flow
from phasegate.apps.discovery.statements.common import news
from phasegate.apps.discovery.statements.mappings import DECIDE_MAPPING, LEARN, MAPPINGS
from phasegate.errors import Stale

GATE = "field_mapping_approval"


class Mappings(Base):
    """The part in which people decide what columns are for."""

    # --- the data ---

    def profile(self, flow_id: str) -> dict[str, Any]:
        """The report on the import's data. Raises ``DiscoveryError`` before there is one."""
        return self._profile(self.flow(flow_id))

    def _profile(self, found: Flow) -> dict[str, Any]:
        outputs = self.engine.outputs(found.run.id, tenant=self.tenant.name)
        if "data_validation" not in outputs:
            raise DiscoveryError("the data has not been looked at yet", hint="let the flow go on first")
        report: dict[str, Any] = outputs["data_validation"]
        return report

    def decide_data(
        self,
        flow_id: str,
        decisions: Mapping[str, str],
        *,
        proceed_with_warnings: bool = False,
        seen: str | None = None,
    ) -> dict[str, Any]:
        """Decide for every critical column what becomes of values that are too long: split, truncate, skip or keep.

        Raises ``ValidationFailed``, and changes nothing, while a critical column has no decision; ``Stale`` when ``seen`` is not
        what is asked by now.
        """
        with self.audited("decide_data", flow_id, decisions=dict(decisions)) as entry:
            found = self.live_flow(flow_id)
            if found.standing.waits_for == "cleansing_decisions":
                return self._answer_cleansing(found, decisions, entry, seen)
            self._waiting(found, "data_validation")
            _check_decisions(undecided(self._profile(found), decisions))
            answers = {"decisions": dict(decisions), "proceed_with_warnings": proceed_with_warnings}
            self.engine.decide(
                found.run.id, "data_decisions", "approved", by=self.tenant.user_id, seen=seen or found.standing.shown,
                answers=answers, tenant=self.tenant.name, writes=[self._noted(entry)],
            )  # fmt: skip
            return {"flow_id": found.id, "decisions": dict(decisions)}

    def open_questions(self, flow_id: str) -> list[dict[str, Any]]:
        """The columns with values that are too long, and on which nobody has decided yet: each with its figures."""
        found = self.flow(flow_id)
        if found.standing.waits_for == "cleansing_decisions":
            asked = found.run.at("data_cleansing").questions
            return list(asked["issues"])
        if found.standing.waits_for == "data_validation":
            return list(self._profile(found)["critical_issues"])
        return []

    def _answer_cleansing(
        self, found: Flow, decisions: Mapping[str, str], entry: Entry, seen: str | None
    ) -> dict[str, Any]:
        if seen is not None and seen != found.standing.shown:
            raise Stale("what is asked has changed since you saw it", hint="look at the flow's status again")
        asked = found.run.at("data_cleansing").questions
        unknown = sorted(set(decisions) - set(asked["fields"]))
        wrong = sorted(name for name, word in decisions.items() if word not in asked["choices"])
        if unknown or wrong:
            said = [f"nothing is asked about {name!r}" for name in unknown]
            raise ValidationFailed(
                [*said, *(f"{name!r} is decided by {', '.join(asked['choices'])}" for name in wrong)]
            )
        _check_decisions([name for name in asked["fields"] if name not in decisions])
        self.engine.answer(
            found.run.id, "data_cleansing", dict(decisions), by=self.tenant.user_id, tenant=self.tenant.name
        )
        entry.written = True
        return {"flow_id": found.id, "decisions": dict(decisions)}

    # --- the mapping ---

    def mappings(self, flow_id: str) -> list[dict[str, Any]]:
        """One per column: source, target, confidence and how sure that is, status, alternatives."""
        mappings: list[dict[str, Any]] = self.proposal(flow_id)["mappings"]
        return mappings

    def proposal(self, flow_id: str) -> dict[str, Any]:
        """The ``mappings``, and where deciding about them stands.

        ``seen`` is the digest of these mappings, which binds an approval to them; None when the flow does not wait for one.
        ``remaining`` are the columns that nobody has decided on, ``problems`` what the flow cannot go on without once all are.
        """
        found = self.flow(flow_id)
        rows = self._mappings(found)
        left, missing = _left(rows, ())
        seen = seen_of(found, rows) if found.standing.waits_for == "field_mapping" else None
        told = [_told(row) for row in rows]
        return {"mappings": told, "seen": seen, "remaining": left, "problems": [] if left else missing}

    def approve(
        self, flow_id: str, mapping_ids: Collection[str] | None = None, *, note: str = "", seen: str | None = None
    ) -> dict[str, Any]:
        """Approve mappings, all that are open without ``mapping_ids``. When every column is decided on, the flow goes on.

        What cannot be approved is left as it is, and told. Raises ``Stale`` when ``seen`` is given and not that of the mappings
        as they stand (``proposal`` tells it).
        """
        return self._decide(flow_id, mapping_ids, "approved", note, seen)

    def reject(
        self, flow_id: str, mapping_ids: Collection[str], *, note: str = "", seen: str | None = None
    ) -> dict[str, Any]:
        """Reject mappings: their columns are left out of the inventory, and the pairs are not proposed again."""
        return self._decide(flow_id, mapping_ids, "rejected", note, seen)

    def edit(self, flow_id: str, mapping_id: str, target: str) -> dict[str, Any]:
        """Choose another field for a column; it is then for approval again. Raises ``ValidationFailed`` for what is no field."""
        with self.audited("edit_mapping", flow_id, mapping_id=mapping_id, target=target) as entry:
            found = self.waiting_flow(flow_id, "field_mapping")
            (row,) = _picked(found, self._mappings(found), [mapping_id])
            problem = check_target(row["source_field"], target)
            if problem is not None:
                raise ValidationFailed([problem.message])
            self.engine.write([(DECIDE_MAPPING, self._decided(row, "suggested", target)), self._noted(entry)])
            return {"flow_id": found.id, "source_field": row["source_field"], "target_field": target}

    def keep_the_rest(self, flow_id: str) -> dict[str, Any]:
        """Approve every open column that no field was found for as an attribute of one's own."""
        with self.audited("approve_needs_review_as_custom_attributes", flow_id) as entry:
            found = self.waiting_flow(flow_id, "field_mapping")
            everything = self._mappings(found)
            rows = [row for row in everything if row["status"] == "suggested" and row["target_field"] in ("", UNMAPPED)]
            changes = [self._decided(row, "approved", CUSTOM) for row in rows]
            return {
                **self._write(found, everything, changes, entry),
                "approved": [row["source_field"] for row in rows],
            }

    def propose_again(self, flow_id: str) -> dict[str, Any]:
        """Have columns guessed anew, with what was learned meanwhile; what people have decided stays."""
        with self.audited("propose_mapping", flow_id) as entry:
            found = self.waiting_flow(flow_id, "field_mapping")
            self.engine.reset(
                found.run.id, "field_mapping", by=self.tenant.user_id, reason=PROPOSED_AGAIN, tenant=self.tenant.name
            )
            entry.written = True
            return {"flow_id": found.id, "status": "running"}

    def _decide(
        self, flow_id: str, mapping_ids: Collection[str] | None, status: str, note: str, seen: str | None
    ) -> dict[str, Any]:
        named = mapping_ids and sorted(mapping_ids)
        with self.audited(f"mappings_{status}", flow_id, mapping_ids=named) as entry:
            found = self.waiting_flow(flow_id, "field_mapping")
            everything = self._mappings(found)
            if seen is not None and seen != seen_of(found, everything):
                raise Stale("the proposal has changed since you saw it", hint="look at the mappings again")
            rows = _picked(found, everything, mapping_ids)
            errors = _refusals(rows, everything) if status == "approved" else {}
            fit = [row for row in rows if row["id"] not in errors]
            # What is decided so already is no decision anew, from which something could be learned a second time.
            changes = [self._decided(row, status, note=note) for row in fit if row["status"] != status]
            told = self._write(found, everything, changes, entry)
            results = [
                {"mapping_id": row["id"], "source_field": row["source_field"], "success": row["id"] not in errors,
                 "error": errors.get(row["id"])}
                for row in rows
            ]  # fmt: skip
            totals = {"total_requested": len(rows), "successful": len(fit), "failed": len(errors), "results": results}
            return {**totals, **told}

    def settle(self, found: Flow, entry: Entry | None = None) -> Mapping[str, Any]:
        """Open the gate when every column is decided on, and what was approved is enough to go on with."""
        if found.standing.waits_for != "field_mapping":
            return super().settle(found, entry)
        return self._write(found, self._mappings(found), [], entry)

    def _write(
        self, found: Flow, everything: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]],
        entry: Entry | None,
    ) -> dict[str, Any]:  # fmt: skip
        """Write decisions about mappings and note them, in one commit with the gate's decision when nothing is left."""
        left, missing = _left(everything, changes)
        told = {"flow_id": found.id, "remaining": left, "problems": [] if left else missing}
        writes = [*self._writes(everything, changes)]
        if not left and not missing:
            self.engine.decide(
                found.run.id, GATE, "approved", by=self.tenant.user_id, seen=found.standing.shown,
                tenant=self.tenant.name, writes=[*writes, *self._notes(entry)],
            )  # fmt: skip
            return {**told, "complete": True}
        if writes:
            self.engine.write([*writes, *self._notes(entry)])
            return self._write(found, self._mappings(found), [], entry)  # others may have decided on the rest meanwhile
        return {**told, "complete": False}

    def _writes(
        self, everything: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        columns = {row["id"]: row["source_field"] for row in everything}
        for change in changes:
            yield DECIDE_MAPPING, change
            learned = {
                **self.tenant.columns, "source_field": columns[change["mapping_id"]],
                "target_field": change["new_target_field"], "approved": change["new_status"] == "approved",
                "updated_at": change["new_updated_at"],
            }  # fmt: skip
            yield LEARN, learned

    def _mappings(self, found: Flow) -> list[Mapping[str, Any]]:
        return self.engine.read(MAPPINGS, {**self.tenant.where, "import_id": found.import_id})

    def _decided(
        self, row: Mapping[str, Any], status: str, target: str | None = None, *, note: str = ""
    ) -> dict[str, Any]:
        """The change that gives a mapping a status, and another field if ``target`` is one: that is then a person's choice."""
        now, final, who = self.now(), status != "suggested", self.tenant.user_id
        another = target is not None and target != row["target_field"]
        return {
            **self.tenant.where, "mapping_id": row["id"],
            **news(
                target_field=target if another else row["target_field"], status=status, approval_note=note or None,
                match_type="manual" if another else row["match_type"],
                agent_reasoning=f"{who} chose it" if another else row["agent_reasoning"],
                approved_by=who if final else None, approved_at=now if final else None, updated_at=now,
            ),
        }  # fmt: skip


def seen_of(found: Flow, everything: Sequence[Mapping[str, Any]]) -> str | None:
    """The digest of the mappings as they stand: what is proposed, and what people have made of it since.

    While nobody has changed or decided anything it is the engine's digest of the proposal, by which the gate can be decided
    with the generic commands, too.
    """
    shown = found.standing.shown
    if all(row["status"] == "suggested" and row["target_field"] == row["suggested_target"] for row in everything):
        return shown
    rows = [[row[name] for name in ("source_field", "target_field", "status")] for row in everything]
    return hashlib.sha256(dump([shown, rows]).encode()).hexdigest()


def _left(everything: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The columns on which nobody will have decided after the changes, and what the flow then cannot go on without."""
    changed = {each["mapping_id"]: (each["new_status"], each["new_target_field"]) for each in changes}
    rows = [(row["source_field"], *changed.get(row["id"], (row["status"], row["target_field"]))) for row in everything]
    problems = check_mappings({column: target for column, status, target in rows if status == "approved"})
    return (
        [column for column, status, _ in rows if status == "suggested"],
        [each.message for each in problems if each.critical],
    )


def _picked(
    found: Flow, everything: Sequence[Mapping[str, Any]], ids: Collection[str] | None
) -> list[Mapping[str, Any]]:
    """The mappings meant: by id or by the name of the column. Raises ``FlowNotFound`` for one that there is not."""
    if ids is None:
        return [row for row in everything if row["status"] == "suggested"]
    by = {row["id"]: row for row in everything} | {row["source_field"]: row for row in everything}
    unknown = [each for each in ids if each not in by]
    if unknown:
        raise FlowNotFound(f"there is no mapping {', '.join(map(repr, unknown))} in flow {found.id}")
    return list({by[each]["id"]: by[each] for each in ids}.values())


def _refusals(rows: Sequence[Mapping[str, Any]], everything: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Why some of these cannot be approved, by id: no field, or a field that another column has."""
    wanted = {row["id"] for row in rows}
    approved = [row for row in everything if row["status"] == "approved" and row["id"] not in wanted]
    uses = Counter(row["target_field"] for row in (*approved, *rows) if row["target_field"] != CUSTOM)
    found: dict[str, str] = {}
    for row in rows:
        problem = check_target(row["source_field"], row["target_field"])
        if problem is not None:
            found[row["id"]] = problem.message
        elif uses[row["target_field"]] > 1:
            found[row["id"]] = (
                f"{row['target_field']} is the field of another column, too: choose another for one of them"
            )
    return found


def _check_decisions(missing: Collection[str]) -> None:
    if missing:
        raise ValidationFailed(
            [f"{name!r} has values that are too long, and nobody has decided on them" for name in missing],
            hint="decide for each: split, truncate, skip or keep",
        )


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "id", "source_field", "target_field", "match_type", "status", "suggested_by", "suggested_target", "field_type",
        "agent_reasoning", "approved_by", "approved_at", "approval_note",
    )  # fmt: skip
    confidence = row["confidence_score"]
    told = {name: row[name] for name in names}
    return told | {"confidence": confidence, "band": band(confidence), "alternatives": load(row["alternatives"])}
