#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Sets a machine up and runs all tests. See --help.

set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/common.sh
. tools/common.sh

usage() {
    cat <<USAGE
Usage: tools/test.sh [ENV...]

Installs what the tests need and runs the tox environments named, one after the other; by default
all of these, in two lanes side by side:
    pep8          style, types, shell scripts
    papers        documentation, samples of configuration and policy
    package       the archives that are published, each installed and started
    py3           unit tests, and the whole system in one process
    lower-bounds  unit tests with the oldest version of each requirement
    fuzz          hostile requests and documents that programs make up: fewer beside all else
                  than alone, unless KONGMING_TEST_CASES and KONGMING_TEST_INPUTS say how many
    functional    three processes on RabbitMQ, MariaDB, PostgreSQL and libvirt (root only)
    openstack     beside Keystone and Nova, on two libvirt hosts and three fake ones (root only)
    numa          on two emulated machines with four NUMA nodes each (root only)
and then tools/quickstart.sh --check, as root also with --qemu.

As root on Debian or Ubuntu, missing packages of bindep.txt are installed; nothing is started.
Python packages go to .venv and .tox of this checkout. May be run as often as you like.
The last lines give the totals and what to do next; the exit status is 0 if all passed.
USAGE
}

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# Runs one environment; each line that it prints begins with its name, as two may run at once.
run_env() {
    local env=$1 status=0 passed=0 failed=0 skipped=0 start=$results/$1.start
    touch "$start"
    say "tox -e $env"
    .venv/bin/tox run --skip-pkg-install -e "$env" 2>&1 | sed -u "s/^/$env| /" || status=$?

    if [[ " pep8 papers package " == *" $env "* ]]; then
        [ "$status" -ne 0 ] || passed=1
    elif [ ".tox/$env/.stestr/next-stream" -nt "$start" ]; then
        ".tox/$env/bin/stestr" --repo-url ".tox/$env" last --subunit \
            | ".tox/$env/bin/python" tools/subunit_totals.py >"$results/$env.names" || status=1
        read -r passed failed skipped <"$results/$env.names" || passed=0 failed=0 skipped=0
    fi
    # An environment can fail before, after or beside its tests.
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        failed=1
    fi
    note "$env" "$passed" "$failed" "$skipped"
}

# Notes what became of $1: how many passed, failed, were skipped.
note() {
    echo "$2 $3 $4" >"$results/$1.result"
}

run_quickstart() {
    say "tools/quickstart.sh $*"
    if tools/quickstart.sh "$@"; then
        note "quickstart.sh $*" 1 0 0
    else
        note "quickstart.sh $*" 0 1 0
    fi
}

case "${1:-}" in
    -h | --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
esac
# Those that compute run beside those that wait for servers most of the time.
computing=(pep8 papers package py3 lower-bounds fuzz)
waiting=()
if [ $# -gt 0 ]; then
    computing=("$@")
else
    # all of it has an hour at most, also on a machine that others use
    export KONGMING_TEST_CASES=${KONGMING_TEST_CASES:-10000}
    export KONGMING_TEST_INPUTS=${KONGMING_TEST_INPUTS:-2500}
    if is_root; then
        computing+=(numa)
        waiting=(functional openstack)
    fi
fi

install_packages test
make_venv
say "tox: installing it in .venv"
.venv/bin/pip install -q 'tox>=4.11'
envs=("${computing[@]}" "${waiting[@]}")
say "tox: making its environments: ${envs[*]}"
# One after the other, for they share what builds the package.
(IFS=, && .venv/bin/tox run --notest -e "${envs[*]}")

trap 'kill 0' INT  # also what runs in the background
for env in "${waiting[@]}"; do
    run_env "$env"
done &
for env in "${computing[@]}"; do
    run_env "$env"
done
wait

if [ $# -eq 0 ]; then
    run_quickstart --check
    ! is_root || run_quickstart --check --qemu
fi

say "Results"
passed=0
failed=0
for env in "${envs[@]}"; do
    # whatever broke its run has not noted anything
    [ -e "$results/$env.result" ] || note "$env" 0 1 0
done
for result in "$results"/*.result; do
    name=$(basename "$result" .result)
    read -r env_passed env_failed env_skipped <"$result"
    passed=$((passed + env_passed))
    failed=$((failed + env_failed))
    echo "    $name: $env_passed passed, $env_failed failed, $env_skipped skipped"
    [ ! -e "$results/$name.names" ] || sed '1d; s/^/        failed: /' "$results/$name.names"
done
if [ $# -eq 0 ] && ! is_root; then
    echo "    NOT RUN, they need root: sudo tools/test.sh functional openstack numa"
fi
echo "$passed passed, $failed failed"
if [ "$failed" -ne 0 ]; then
    say "Next: look above for what failed; CONTRIBUTING.rst says how to run single tests."
    exit 1
fi
say "Next: tools/quickstart.sh shows KongMing at work."
