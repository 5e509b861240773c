# SPDX-License-Identifier: Apache-2.0
# Sourced by test.sh and quickstart.sh, which have changed to the top of the checkout.
# shellcheck shell=bash

say() {
    echo "==> $*"
}

die() {
    echo "ERROR: $*" >&2
    exit 1
}

is_root() {
    [ "$(id -u)" -eq 0 ]
}

# Prints the packages which bindep.txt lists without a profile and those of profile $1.
listed_packages() {
    awk -v profile="${1:-}" '
        /^[[:space:]]*(#|$)/ { next }
        {
            name = $1
            sub(/^[^[]*\[/, "")
            sub(/\].*$/, "")
            wanted = 1
            count = split($0, words)
            for (i = 1; i <= count; i++)
                if (words[i] !~ /^platform:/)
                    wanted = 0
            for (i = 1; i <= count; i++)
                if (words[i] == profile)
                    wanted = 1
            if (wanted)
                print name
        }' bindep.txt
}

# Prints those of the packages named which are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed \
            || echo "$package"
    done
}

# The body is a subshell, so that its trap ends with it.
apt_install() (
    export DEBIAN_FRONTEND=noninteractive
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        # Installing a server must not start it: the tests and the demonstration start their own.
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
    fi
    # Somebody else's broken source is no reason to stop: the install below tells what matters.
    apt-get -q update || echo "apt-get update failed for some source; going on" >&2
    apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install -y --no-install-recommends "$@"
)

# Installs what bindep.txt lists for profile $1 (none: the general packages only).
install_packages() {
    if ! command -v apt-get >/dev/null; then
        say "No apt-get here: install the equivalents of bindep.txt yourself if a step fails."
        return
    fi
    local missing
    # shellcheck disable=SC2046
    missing=$(missing_packages $(listed_packages "${1:-}") | tr '\n' ' ')
    if [ -z "$missing" ]; then
        say "System packages: all installed."
    elif is_root; then
        say "System packages: installing $missing"
        # shellcheck disable=SC2086
        apt_install $missing || die "apt-get could not install: $missing"
    else
        say "System packages missing; as root: apt-get install --no-install-recommends $missing"
    fi
}

# Says whether Python $1 will do; Debian packs ensurepip, which venv needs, apart.
new_enough() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Prints a Python that is new enough and can make a virtual environment.
find_python() {
    local python
    for python in python3 python3.13 python3.12 python3.11; do
        if new_enough "$python"; then
            command -v "$python"
            return
        fi
    done
    return 1
}

# Makes .venv, or keeps the one that is there if it works.
make_venv() {
    local python
    if [ -x .venv/bin/python ] && new_enough .venv/bin/python; then
        say "Python environment: .venv ($(.venv/bin/python --version))"
    else
        if ! python=$(find_python); then
            # Ubuntu 22.04 has a newer Python beside its own.
            if is_root && command -v apt-get >/dev/null; then
                apt_install python3.11-venv python3.11-dev || true
            fi
            python=$(find_python) || die "Python 3.11 or newer, with its venv module, is needed."
        fi
        say "Python environment: making .venv with $python ($("$python" --version))"
        "$python" -m venv --clear .venv
    fi
    # pbr takes the version from git, which says nothing in an archive without history or in a
    # checkout that belongs to somebody else.
    if ! git rev-parse --git-dir >/dev/null 2>&1; then
        export PBR_VERSION=${PBR_VERSION:-0.1.0}
    fi
}
