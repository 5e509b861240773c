# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What stack.sh, unstack.sh and clean.sh call: plugin.sh MODE [PHASE].

# shellcheck source=devstack/lib/kongming
source "$KONGMING_DIR/devstack/lib/kongming"

if is_kongming_enabled; then
    case "$1:${2:-}" in
        stack:install)
            echo_summary "Installing KongMing"
            install_kongming
            ;;
        stack:post-config)
            echo_summary "Configuring KongMing"
            configure_kongming
            configure_nova_for_kongming
            create_kongming_accounts
            init_kongming
            ;;
        stack:extra)
            echo_summary "Starting KongMing"
            start_kongming
            ;;
        unstack:*)
            stop_kongming
            ;;
        clean:*)
            cleanup_nova_for_kongming
            cleanup_kongming
            ;;
    esac
fi
