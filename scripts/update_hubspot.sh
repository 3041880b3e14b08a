#!/usr/bin/env bash
# Sets the HUBSPOT_* variables of the backend on AWS App Runner, and leaves all others as they are: see --help.
set -euo pipefail
SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/app_runner.sh
. "$SCRIPTS/app_runner.sh"

show_help() {
    cat <<'END'
scripts/update_hubspot.sh [--dry-run] [--yes] [--timeout SECONDS]

Sets the HUBSPOT_* variables of a service on AWS App Runner. It shows what would change, asks, updates the service,
waits until it runs, and looks at its /v1/health. Whatever else the service is configured with stays as it is.

  --dry-run          only show what would change
  --yes              do not ask
  --timeout SECONDS  how long the update may take (1200)

  export AWS_REGION=us-east-1 HUBSPOT_ENABLED=true HUBSPOT_SEND_LIVE=false
  scripts/update_hubspot.sh --dry-run

END
    help_on_settings
}

main() {
    read_options "$@"
    prepare needed
    if [ ! -s "$REQUEST" ]; then
        say "nothing to change"
    elif [ "$DRY_RUN" ]; then
        say "dry run: nothing was changed"
        return
    else
        need_running
        ask "Update $SERVICE_NAME?"
        update
    fi
    check_health
}

main "$@"
