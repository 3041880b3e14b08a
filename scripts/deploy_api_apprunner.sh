#!/usr/bin/env bash
# Deploys the backend on AWS App Runner anew: see --help.
set -euo pipefail
SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/app_runner.sh
. "$SCRIPTS/app_runner.sh"
# shellcheck disable=SC2034 # read_options looks at it
TAKES_IMAGE=yes

show_help() {
    cat <<'END'
scripts/deploy_api_apprunner.sh [--image URI] [--dry-run] [--yes] [--timeout SECONDS]

Deploys a service on AWS App Runner: the newest image of its tag, or the newest commit of its branch. It shows what
would change, asks, deploys, waits until the service runs, and looks at its /v1/health. HUBSPOT_* variables that are
exported are set first, in an update of its own; whatever else the service is configured with stays as it is.

  --image URI        deploy this image of ECR from now on, instead of the one that the service names
  --dry-run          only show what would be done
  --yes              do not ask
  --timeout SECONDS  how long an update, and a deployment, may take (1200)

  export AWS_REGION=us-east-1
  scripts/deploy_api_apprunner.sh --image 123456789012.dkr.ecr.us-east-1.amazonaws.com/nerava-backend:1.4.2

END
    help_on_settings
}

main() {
    local before anew changes=
    read_options "$@"
    prepare optional
    before=$(json get "$DESCRIPTION" Service.SourceConfiguration.ImageRepository.ImageIdentifier)
    [ ! -s "$REQUEST" ] || changes="update-service, then "
    # An update deploys a new image by itself. Another deployment reads the tag, or the branch, anew.
    if [ "$IMAGE" ] && [ "$IMAGE" != "$before" ]; then
        anew=
        say "update-service, which deploys the image"
    else
        anew=yes
        say "${changes}start-deployment of ${before:-the newest commit}"
    fi
    if [ "$DRY_RUN" ]; then
        say "dry run: nothing was deployed"
        return
    fi
    need_running
    ask "Deploy $SERVICE_NAME?"
    [ ! -s "$REQUEST" ] || update
    [ -z "$anew" ] || deploy
    check_health
}

main "$@"
