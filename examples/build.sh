#!/bin/sh
# A plan of three phases on a small package from the package registry, with recorded answers; needs no key. Run by make demo-build.
set -e
bin=$(cd "${BIN:-.venv/bin}" && pwd)
export PATH="$bin:$PATH" # the plan's tests are run by this python3
export PHASEGATE_DATABASE="sqlite:///demo/build.db"
data=examples/data/build
build() {
    printf '\n$ phasegate build %s\n' "$*"
    phasegate build "$@"
}
ls demo/packages/pytimeparse-*.tar.gz >/dev/null 2>&1 || {
    echo '$ pip download pytimeparse'
    python3 -m pip download --quiet --no-deps --no-binary pytimeparse --require-hashes --dest demo/packages \
        --requirement $data/requirements.txt || {
        echo "the package cannot be downloaded: this needs the package registry that pip uses" >&2
        exit 1
    }
}
mkdir -p demo/build
tar -xzf demo/packages/pytimeparse-*.tar.gz -C demo/build --strip-components 1
# Nobody is asked here: what needs approval waits until somebody types the command.
build run $data/plan.yaml --repo demo/build --replay $data/answers --prices $data/prices.toml </dev/null
build diff --phase readme
build approve --by ann@example.com
build show
build history
