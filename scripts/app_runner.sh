# shellcheck shell=bash
# What update_hubspot.sh and deploy_api_apprunner.sh share; they source it.

READER=app_runner.py
SERVICE_NAME=${SERVICE_NAME:-nerava-backend}
POLL_S=${APP_RUNNER_POLL_S:-10}
ARN=
# shellcheck source=scripts/aws.sh
. "$SCRIPTS/aws.sh"

help_on_settings() {
    cat <<'END'
Settings, all exported; one that is not set, or empty, leaves the service as it is:
  HUBSPOT_ENABLED            true or false
  HUBSPOT_SEND_LIVE          true or false; true needs the other three, here or in the service
  HUBSPOT_PORTAL_ID          the number of the portal that the token belongs to
  HUBSPOT_PRIVATE_APP_TOKEN  the token, as a plain variable of the service
  HUBSPOT_TOKEN_SECRET_ARN   instead of the token: the ARN of a secret (Secrets Manager) or a parameter (SSM) that
                             holds it. The service's instance role must be allowed to read it
  SERVICE_NAME               the App Runner service (nerava-backend)
  AWS_REGION                 its region; without it, AWS_DEFAULT_REGION or `aws configure get region`

Exit codes:
  0  done, or nothing to do
  1  you did not say yes; nothing was changed
  2  a wrong option, or a variable that is missing or wrong
  3  aws, curl, python3 or the credentials are missing, or AWS does not answer
  4  there is no such service in the region
  5  the service can't be updated, or the update failed or took too long
  6  the service runs, and its /v1/health is not well

Needed: the AWS CLI, curl, and python3 (3.8 or later). Nothing shows the token, not even `bash -x`.
END
}

# The AWS CLI knows no paginator for App Runner: it would look at the first page alone.
find_service() {
    local page=$PRIVATE/services.json next=
    while :; do
        aws_says "$page" apprunner list-services ${next:+--next-token "$next"} ||
            fail $NO_AWS "can't list the services: $(why)"
        ARN=$(json find "$page" "$SERVICE_NAME")
        [ -z "$ARN" ] || return 0
        next=$(json get "$page" NextToken)
        [ "$next" ] || fail $NOT_FOUND "no service $SERVICE_NAME in $REGION of account $ACCOUNT (SERVICE_NAME, AWS_REGION)"
    done
}

describe() {
    aws_says "$1" apprunner describe-service --service-arn "$ARN" || fail $NO_AWS "can't describe the service: $(why)"
}

show_service() {
    URL=https://$(json get "$DESCRIPTION" Service.ServiceUrl)
    STATUS=$(json get "$DESCRIPTION" Service.Status)
    say "$SERVICE_NAME: $STATUS, in $REGION of account $ACCOUNT, at $URL"
}

# plan_changes: shows them, and leaves the request in a file where there are any.
plan_changes() { json plan "$DESCRIPTION" "$REQUEST" "$IMAGE"; }

need_running() {
    [ "$STATUS" = RUNNING ] ||
        fail $NOT_UPDATED "the service is $STATUS, and only one that is RUNNING can be changed: try again when it is"
}

update() {
    aws_says "$PRIVATE/answer.json" apprunner update-service --cli-input-json "file://$REQUEST" ||
        fail $NOT_UPDATED "update-service was refused: $(why)"
    wait_until_it_runs update-service
}

deploy() {
    aws_says "$PRIVATE/answer.json" apprunner start-deployment --service-arn "$ARN" ||
        fail $NOT_UPDATED "start-deployment was refused: $(why)"
    wait_until_it_runs start-deployment
}

# wait_until_it_runs WHAT: until its operation has succeeded and the service runs.
wait_until_it_runs() {
    local id ended=0
    id=$(json get "$PRIVATE/answer.json" OperationId)
    wait_for "$1" look_at "$id" || ended=$?
    case $ended-$STATUS in
        0-RUNNING) ;;
        0-*) fail $NOT_UPDATED "$1 ended with $STATUS: the events and deployment logs of $SERVICE_NAME in App Runner say why" ;;
        1-*) fail $NOT_UPDATED "$1 is $STATUS after $TIMEOUT_S s (--timeout): it goes on; look at operation $id of $ARN" ;;
        *) fail $NOT_UPDATED "$1 goes on unseen: AWS does not answer any more: $(why)" ;;
    esac
}

is_over() {
    case $1 in
        RUNNING | FAILED | *_FAILED | ROLLBACK_SUCCEEDED | PAUSED | DELETED) return 0 ;;
    esac
    return 1
}

# look_at ID: prints the operation's status, or the service's once the operation has succeeded.
look_at() {
    local status
    aws_says "$PRIVATE/operations.json" apprunner list-operations --service-arn "$ARN" --max-results 20 || return 1
    status=$(json operation "$PRIVATE/operations.json" "$1") || return 1
    if [ "$status" = SUCCEEDED ]; then
        aws_says "$PRIVATE/now.json" apprunner describe-service --service-arn "$ARN" || return 1
        status=$(json get "$PRIVATE/now.json" Service.Status) || return 1
    fi
    printf '%s\n' "${status:-PENDING}"
}

check_health() {
    local code='' try
    for ((try = 1; try <= HEALTH_TRIES; try++)); do
        [ "$try" = 1 ] || sleep "$POLL_S"
        code=$(curl --silent --show-error --max-time 10 --output "$PRIVATE/errors" --write-out '%{http_code}' \
            "$URL/v1/health" 2>"$PRIVATE/curl") || code=
        if [ "$code" = 200 ]; then
            say "$URL/v1/health: 200, well"
            return 0
        fi
    done
    [ "$code" ] || mv "$PRIVATE/curl" "$PRIVATE/errors"
    fail $UNHEALTHY "$URL/v1/health: ${code:-no answer}, $HEALTH_TRIES times: $(why | head -c 500)"
}

# Everything up to the question. Afterwards ARN, URL, DESCRIPTION, and REQUEST where something changes.
prepare() {
    need_programs aws curl
    json check "$1"
    make_private_folder
    need_credentials
    find_service
    describe "$DESCRIPTION"
    show_service
    plan_changes
}
