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

Installs what the tests need and runs the tox environments named, by default all of
    pep8        style, types, shell scripts
    py3         unit tests, and the whole system in one process
    fuzz        hostile requests and documents that programs make up
    functional  three processes on RabbitMQ, MariaDB, PostgreSQL and libvirt (root only)
    openstack   beside Keystone and Nova, on two libvirt hosts and three fake ones (root only)
    numa        on two emulated machines with four NUMA nodes each (root only)
and then tools/quickstart.sh --check, as root also with --qemu.

As root on Debian or Ubuntu, missing packages of bindep.txt are installed; nothing is started.
Python packages go to .venv and .tox of this checkout. May be run as often as you like.
The last lines give the totals and what to do next; the exit status is 0 if all passed.
USAGE
}

passed=0
failed=0
summary=()
start=$(mktemp)
trap 'rm -f "$start"' EXIT

run_env() {
    local env=$1 status=0 env_passed=0 env_failed=0 env_skipped=0
    touch "$start"
    say "tox -e $env"
    .venv/bin/tox run -e "$env" || status=$?

    if [ "$env" = pep8 ]; then
        [ "$status" -ne 0 ] || env_passed=1
    elif [ ".tox/$env/.stestr/next-stream" -nt "$start" ]; then
        read -r env_passed env_failed env_skipped < <(
            ".tox/$env/bin/stestr" --repo-url ".tox/$env" last --subunit \
                | ".tox/$env/bin/python" tools/subunit_totals.py
        ) || status=1
    fi
    # An environment can fail before, after or beside its tests.
    if [ "$status" -ne 0 ] && [ "$env_failed" -eq 0 ]; then
        env_failed=1
    fi
    passed=$((passed + env_passed))
    failed=$((failed + env_failed))
    summary+=("$env: $env_passed passed, $env_failed failed, $env_skipped skipped")
}

run_quickstart() {
    say "tools/quickstart.sh $*"
    if tools/quickstart.sh "$@"; then
        passed=$((passed + 1))
        summary+=("quickstart.sh $*: passed")
    else
        failed=$((failed + 1))
        summary+=("quickstart.sh $*: FAILED")
    fi
}

case "${1:-}" in
    -h | --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
esac
envs=("$@")
if [ ${#envs[@]} -eq 0 ]; then
    envs=(pep8 py3 fuzz functional openstack numa)
fi

install_packages test
make_venv
say "tox: installing it in .venv"
.venv/bin/pip install -q 'tox>=4.11'

for env in "${envs[@]}"; do
    case "$env" in
        functional | openstack | numa)
            if ! is_root; then
                summary+=("$env: NOT RUN, it needs root: sudo tools/test.sh $env")
                continue
            fi
            ;;
    esac
    run_env "$env"
done

if [ $# -eq 0 ]; then
    run_quickstart --check
    ! is_root || run_quickstart --check --qemu
fi

say "Results"
printf '    %s\n' "${summary[@]}"
echo "$passed passed, $failed failed"
if [ "$failed" -ne 0 ]; then
    say "Next: look above for what failed; CONTRIBUTING.rst says how to run single tests."
    exit 1
fi
say "Next: tools/quickstart.sh shows KongMing at work."
