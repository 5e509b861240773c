#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh clone to a pinned instance. See --help.

set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/common.sh
. tools/common.sh

usage() {
    cat <<USAGE
Usage: tools/quickstart.sh [--check] [--qemu] [--port PORT]

Starts KongMing in one process on a simulated fleet, pins a running instance through the
REST API, shows where it ran before and after, and leaves the API running until Ctrl-C.

  --check      end after the demonstration: 0 if every part is where the pin wants it, else 1
  --qemu       pin a real QEMU domain of this machine's libvirt, and look at its threads in
               /proc; as root, installs and starts libvirt if need be
  --port PORT  where the API listens on 127.0.0.1; default: 9517, or any free port if taken

Python packages go to .venv of this checkout. May be run as often as you like.
USAGE
}

check=
qemu=
port=
while [ $# -gt 0 ]; do
    case "$1" in
        --check) check=1 ;;
        --qemu) qemu=1 ;;
        --port)
            [ $# -ge 2 ] || die "--port needs a number"
            port=$2
            shift
            ;;
        --port=*) port=${1#*=} ;;
        -h | --help)
            usage
            exit
            ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
    shift
done

state=$(mktemp -d "${TMPDIR:-/tmp}/kongming-quickstart.XXXXXX")
server=
domain=
daemons=()
kvm_opened=

# shellcheck disable=SC2329
# Ends process $1, with patience first.
stop() {
    kill "$1" 2>/dev/null || return 0
    for _ in {1..100}; do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -9 "$1" 2>/dev/null || true
}

# shellcheck disable=SC2329
clean_up() {
    trap '' INT TERM HUP
    local daemon
    [ -z "$server" ] || stop "$server"
    [ -z "$domain" ] || virsh -q -c qemu:///system destroy "$domain" >/dev/null 2>&1 || true
    for daemon in "${daemons[@]}"; do
        stop "$daemon"
    done
    if [ -n "$kvm_opened" ]; then
        chmod 600 /dev/kvm
        chgrp root /dev/kvm
    fi
    rm -rf "$state"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

install_kongming() {
    # A second run has nothing to do, and then needs no package index.
    local program=.venv/bin/kongming-standalone
    if [ -x "$program" ] && [ ! setup.cfg -nt "$program" ] \
            && [ ! requirements.txt -nt "$program" ] && [ -x .venv/bin/openstack ] \
            && { [ -z "$qemu" ] || .venv/bin/python -c 'import libvirt' 2>/dev/null; }; then
        say "KongMing: installed in .venv"
        return
    fi
    say "KongMing: installing it in .venv"
    .venv/bin/pip install -q -e ".[cli${qemu:+,libvirt}]"
}

free_port() {
    .venv/bin/python - <<'PYTHON'
import socket

for port in (9517, 0):
    with socket.socket() as sock:
        # As the server does, so that a connection just closed does not count.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(sock.getsockname()[1])
        break
PYTHON
}

libvirt_answers() {
    virsh -c qemu:///system uri >/dev/null 2>&1
}

start_libvirt() {
    if libvirt_answers; then
        say "libvirt: answers on qemu:///system"
        return
    fi
    is_root || die "No libvirtd answers on qemu:///system; start it, or run this as root."
    say "libvirt: starting it"
    # Where no udev runs, /dev/kvm is closed to the user that QEMU runs as. libvirt then takes
    # what it knows of QEMU for outdated, and needs half a minute to start a domain.
    if [ "$(stat -c %a:%U:%G /dev/kvm 2>/dev/null)" = 600:root:root ] \
            && getent group kvm >/dev/null; then
        chgrp kvm /dev/kvm
        chmod 660 /dev/kvm
        kvm_opened=1
    fi
    # One that already runs keeps its pid file locked, so what starts is ours.
    if virtlogd -d 2>/dev/null; then
        daemons+=("$(cat /run/virtlogd.pid)")
    fi
    LIBVIRT_LOG_OUTPUTS="3:file:$state/libvirtd.log" libvirtd -d || die "libvirtd does not start."
    for _ in {1..100}; do
        if libvirt_answers; then
            daemons=("$(cat /run/libvirtd.pid)" "${daemons[@]}")
            return
        fi
        sleep 0.1
    done
    tail -n 5 "$state/libvirtd.log" >&2
    die "libvirtd does not answer; its last words are above."
}

start_domain() {
    local uuid
    uuid=$(cat /proc/sys/kernel/random/uuid)
    say "QEMU: starting a domain of 2 vCPUs, 1 I/O thread and 64 MiB"
    cat >"$state/domain.xml" <<XML
<domain type='qemu'>
  <name>kongming-quickstart-$$</name>
  <uuid>$uuid</uuid>
  <metadata>
    <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
      <nova:name>quickstart</nova:name>
      <nova:owner>
        <nova:user uuid="00000000000000000000000000000001">demo</nova:user>
        <nova:project uuid="00000000000000000000000000000002">demo</nova:project>
      </nova:owner>
    </nova:instance>
  </metadata>
  <memory unit='MiB'>64</memory>
  <vcpu>2</vcpu>
  <iothreads>1</iothreads>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
XML
    domain=$uuid
    virsh -q -c qemu:///system create "$state/domain.xml"
}

start_server() {
    local arguments=(--port "$port" --state-dir "$state")
    [ -z "$qemu" ] || arguments+=(--libvirt-uri qemu:///system)
    say "KongMing: starting it on http://127.0.0.1:$port"
    : >"$state/standalone.log"
    .venv/bin/kongming-standalone "${arguments[@]}" >"$state/standalone.log" 2>&1 &
    server=$!
    for _ in {1..300}; do
        kill -0 "$server" 2>/dev/null || server_ended
        # Whether something answers on the port is not the question: it might be another.
        ! grep -q '^KongMing answers' "$state/standalone.log" || return 0
        sleep 0.1
    done
    tail -n 20 "$state/standalone.log" >&2
    die "KongMing does not start; its last words are above."
}

server_ended() {
    tail -n 20 "$state/standalone.log" >&2
    die "KongMing has ended; its last words are above."
}

install_packages "${qemu:+qemu}"
make_venv
install_kongming
port=${port:-$(free_port)}
if [ -n "$qemu" ]; then
    start_libvirt
    start_domain
fi
start_server

demo=(tools/quickstart_demo.py --api "http://127.0.0.1:$port")
[ -z "$qemu" ] || demo+=(--proc --instance "$domain")
if ! .venv/bin/python "${demo[@]}"; then
    tail -n 20 "$state/standalone.log" >&2
    die "The demonstration failed; the end of KongMing's log is above."
fi
if [ -n "$check" ]; then
    say "OK"
    exit 0
fi

trap 'say "Stopping."; exit 0' INT TERM HUP
say "The API runs until Ctrl-C."
wait "$server" || true
server_ended
