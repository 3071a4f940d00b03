#!/bin/sh
# The conference example from the first document to the last, with recorded answers; needs no key. Run by make demo-documents.
set -e
export PHASEGATE_DATABASE="sqlite:///demo/documents.db"
documents() {
    printf '\n$ phasegate documents %s\n' "$*"
    "${BIN:-.venv/bin}/phasegate" documents "$@"
}
documents run examples/workflows/conference_programme.json --project demo --replay examples/recordings/conference
documents show demo track_plan
documents accept demo track_plan --by chair@example.com --role chair
documents accept demo 'talk_list[track=small-data]' --by lead@example.com --role track_lead
documents accept demo 'talk_list[track=quiet-nights]' --by lead@example.com --role track_lead
documents costs demo
documents export demo --to demo/documents
