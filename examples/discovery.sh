#!/bin/sh
# The example export from the file to the inventory, approved step by step; then the same file again. Run by make demo-discovery.
set -e
export PHASEGATE_DATABASE="sqlite:///demo/discovery.db"
tenant="--client demo --engagement q4 --by ann@example.com"
discovery() {
    printf '\n$ phasegate discovery %s\n' "$*"
    "${BIN:-.venv/bin}/phasegate" discovery "$@"
}
discovery run examples/data/inventory-devices.csv $tenant
discovery approve $tenant
discovery preview --client demo --engagement q4 --limit 5
discovery approve --all $tenant
discovery conflicts --client demo --engagement q4
discovery resolve --all keep_existing $tenant
discovery assets --client demo --engagement q4 --limit 10
discovery export --to demo/assets.csv --client demo --engagement q4
discovery run examples/data/inventory-devices.csv --approve-all $tenant
