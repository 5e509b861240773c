#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034  # what reads them is the plugin
# Stands in for stack.sh, unstack.sh and clean.sh: reads the settings, calls the plugin.
#
#     stack.sh MODE [PHASE]
#
# Of what the plugin calls, that which would change the machine is written down in $RECORD, one
# call a line, its words separated by tabs; ini files and database are real. In the environment:
# DEST, RECORD, SERVICES (those that are not KongMing's own), DISABLED, DATABASE_URL,
# TRANSPORT_URL, BIN, HTTP (where uWSGI listens), and what an operator may set.

set -o errexit -o nounset -o pipefail

TOP_DIR=$DEST
DATA_DIR=$DEST/data
STACK_USER=stack
NOVA_CONF=$DEST/nova.conf
NOVA_NOTIFICATION_FORMAT=unversioned
ENABLE_DEBUG_LOG_LEVEL=True
SERVICE_PROTOCOL=http
SERVICE_HOST=192.0.2.10
SERVICE_TIMEOUT=60
REGION_NAME=RegionOne

function note {
    local IFS=$'\t'
    echo "$*" >>"$RECORD"
}

# What an operator sees, and what would change users, units or packages.
for name in echo_summary setup_develop setup_logging create_service_user get_or_create_role \
    get_or_create_service get_or_create_endpoint recreate_database run_process stop_process \
    wait_for_service remove_uwsgi_config async_wait; do
    eval "function $name { note $name \"\$@\"; }"
done

function define_plugin {
    PLUGIN=$1
}

function enable_service {
    SERVICES+=" $*"
}

# Whether one of them is.
function is_service_enabled {
    local service
    for service in "$@"; do
        if [[ " $SERVICES " == *" $service "* && " $DISABLED " != *" $service "* ]]; then
            return 0
        fi
    done
    return 1
}

function sudo {
    case "$1" in
        install) mkdir -p "${!#}" ;;
        rm) "$@" ;;
        *) die "sudo" "$*" ;;
    esac
}

function die {
    echo "line $*" >&2
    exit 1
}

# Sections may be there more than once, which oslo.config does not mind.
function iniset {
    inidelete "$1" "$2" "$3"
    printf '[%s]\n%s = %s\n' "$2" "$3" "$4" >>"$1"
}

function iniset_multiline {
    local file=$1 section=$2 option=$3 value
    inidelete "$file" "$section" "$option"
    shift 3
    for value in "$@"; do
        printf '[%s]\n%s = %s\n' "$section" "$option" "$value" >>"$file"
    done
}

function iniget {
    [[ -e "$1" ]] || return 0
    awk -v section="[$2]" -v option="$3" '
        /^\[/ { here = $0 == section }
        here && $1 == option { sub(/^[^=]*= */, ""); print; exit }' "$1"
}

function inidelete {
    [[ -e "$1" ]] || return 0
    awk -v section="[$2]" -v option="$3" '
        /^\[/ { here = $0 == section }
        !(here && $1 == option)' "$1" >"$1.new"
    mv "$1.new" "$1"
}

function iniset_rpc_backend {
    iniset "$2" DEFAULT transport_url "$TRANSPORT_URL"
}

function get_notification_url {
    echo "$TRANSPORT_URL"
}

function database_connection_url {
    echo "$DATABASE_URL"
}

function configure_keystoneauth {
    iniset "$1" "$3" auth_type password
    iniset "$1" "$3" interface public
    iniset "$1" "$3" auth_url "${KEYSTONE_URL:-http://127.0.0.1:1}"
    iniset "$1" "$3" username "$2"
    iniset "$1" "$3" password secret
    iniset "$1" "$3" user_domain_name Default
    iniset "$1" "$3" project_name service
    iniset "$1" "$3" project_domain_name Default
}

function configure_keystone_authtoken_middleware {
    configure_keystoneauth "$1" "$2" keystone_authtoken
    iniset "$1" keystone_authtoken www_authenticate_uri "${KEYSTONE_URL:-http://127.0.0.1:1}"
}

function get_python_exec_prefix {
    echo "$BIN"
}

# uwsgi itself, without Apache before it.
function write_uwsgi_config {
    note write_uwsgi_config "$@"
    rm -f "$1"
    iniset "$1" uwsgi module "$2"
    iniset "$1" uwsgi http-socket "$HTTP"
    iniset "$1" uwsgi processes 2
    iniset "$1" uwsgi master true
    iniset "$1" uwsgi die-on-term true
    iniset "$1" uwsgi enable-threads true
    iniset "$1" uwsgi lazy-apps true
}

# As nova's part of stack.sh leaves it.
if [[ "$*" == "stack post-config" && "$SERVICES" == *n-* ]]; then
    rm -f "$NOVA_CONF"
    iniset "$NOVA_CONF" filter_scheduler enabled_filters "ComputeFilter,NUMATopologyFilter"
    iniset "$NOVA_CONF" oslo_messaging_notifications driver messagingv2
    iniset "$NOVA_CONF" notifications notification_format "$NOVA_NOTIFICATION_FORMAT"
fi

# shellcheck source=devstack/settings
source "$KONGMING_DIR/devstack/settings"
[[ "$PLUGIN" == kongming ]]
# shellcheck source=devstack/plugin.sh
source "$KONGMING_DIR/devstack/plugin.sh" "$@"
