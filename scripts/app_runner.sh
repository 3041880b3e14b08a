# shellcheck shell=bash
# What update_hubspot.sh and deploy_api_apprunner.sh share; they source it. It runs in the bash 3.2 of macOS too.
# Bash never expands the token: app_runner.py alone reads it, from the environment.

readonly MISUSE=2 NO_AWS=3 NOT_FOUND=4 NOT_UPDATED=5 UNHEALTHY=6

SERVICE_NAME=${SERVICE_NAME:-nerava-backend}
REGION=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}
POLL_S=${APP_RUNNER_POLL_S:-10}
HEALTH_TRIES=6
DRY_RUN=
YES=
IMAGE=
TIMEOUT_S=1200
ARN=
LINE_IS_OPEN=

say() {
    end_line
    printf '%s\n' "$*"
}

fail() {
    local code=$1
    shift
    end_line
    printf '%s\n' "$*" >&2
    exit "$code"
}

# After a line that counts at a terminal.
end_line() {
    [ -z "$LINE_IS_OPEN" ] || printf '\n'
    LINE_IS_OPEN=
}

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

# shellcheck disable=SC2034 # either script looks at DRY_RUN
read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --dry-run) DRY_RUN=yes ;;
            --yes) YES=yes ;;
            --timeout)
                TIMEOUT_S=${2:-}
                [[ $TIMEOUT_S =~ ^[1-9][0-9]*$ ]] || fail $MISUSE "--timeout: should be a number of seconds"
                shift
                ;;
            --image)
                [ "${TAKES_IMAGE:-}" ] || fail $MISUSE "--image: only deploy_api_apprunner.sh takes it"
                IMAGE=${2:-}
                [ "$IMAGE" ] || fail $MISUSE "--image: of which image?"
                shift
                ;;
            --help | -h)
                show_help
                exit 0
                ;;
            *) fail $MISUSE "$1: no such option; --help shows them" ;;
        esac
        shift
    done
}

# Files with the service's configuration, and so with secrets, stay in a folder that nobody else can read.
make_private_folder() {
    umask 077
    PRIVATE=$(mktemp -d "${TMPDIR:-/tmp}/app-runner.XXXXXX") || fail $NO_AWS "can't write into ${TMPDIR:-/tmp}"
    trap 'rm -rf "$PRIVATE"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    DESCRIPTION=$PRIVATE/service.json
    REQUEST=$PRIVATE/request.json
}

json() { python3 -E -S -B "$SCRIPTS/app_runner.py" "$@"; }

need_programs() {
    local program
    for program in python3 aws curl; do
        command -v "$program" >/dev/null || fail $NO_AWS "$program is not installed, or not on PATH"
    done
    python3 -E -c 'import sys; sys.exit(sys.version_info < (3, 8))' || fail $NO_AWS "python3 is older than 3.8"
}

# aws_says FILE COMMAND…: the answer goes to FILE, and what is wrong to a file beside it.
aws_says() {
    local answer=$1
    shift
    AWS_PAGER='' aws --region "$REGION" --output json "$@" >"$answer" 2>"$PRIVATE/errors" </dev/null
}

why() { json hide "$PRIVATE/errors" "$DESCRIPTION"; }

need_credentials() {
    # Without a region the command prints nothing and ends with 1.
    [ "$REGION" ] || REGION=$(AWS_PAGER='' aws configure get region 2>/dev/null </dev/null) || true
    [ "$REGION" ] || fail $MISUSE "AWS_REGION is not set, and \`aws configure get region\` names none: the region of $SERVICE_NAME, such as us-east-1"
    aws_says "$PRIVATE/caller.json" sts get-caller-identity ||
        fail $NO_AWS "no credentials that AWS takes (\`aws configure\`, or AWS_PROFILE): $(why)"
    ACCOUNT=$(json get "$PRIVATE/caller.json" Account)
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

ask() {
    local answer=
    if [ -z "$YES" ]; then
        printf '%s [y/N] ' "$1"
        read -r answer || say
        case $answer in
            y | Y | yes) ;;
            *) fail 1 "nothing was changed" ;;
        esac
    fi
    # There is no other way to see a change that somebody made meanwhile, and this would undo.
    describe "$PRIVATE/again.json"
    json unchanged "$DESCRIPTION" "$PRIVATE/again.json"
}

update() {
    aws_says "$PRIVATE/answer.json" apprunner update-service --cli-input-json "file://$REQUEST" ||
        fail $NOT_UPDATED "update-service was refused: $(why)"
    wait_for update-service
}

deploy() {
    aws_says "$PRIVATE/answer.json" apprunner start-deployment --service-arn "$ARN" ||
        fail $NOT_UPDATED "start-deployment was refused: $(why)"
    wait_for start-deployment
}

# wait_for WHAT: until its operation has succeeded and the service runs.
wait_for() {
    local id began=$SECONDS seen='' status failures=0
    id=$(json get "$PRIVATE/answer.json" OperationId)
    while :; do
        if status=$(look_at "$id"); then
            failures=0
        else
            # One look that fails says nothing; that nobody answers any more does.
            failures=$((failures + 1))
            [ $failures -lt 5 ] || fail $NOT_UPDATED "$1 goes on unseen: AWS does not answer any more: $(why)"
            status=${seen:-PENDING}
        fi
        show_progress "$1" "$status" "$seen" $((SECONDS - began))
        seen=$status
        case $status in
            RUNNING) return 0 ;;
            FAILED | *_FAILED | ROLLBACK_SUCCEEDED | PAUSED | DELETED)
                fail $NOT_UPDATED "$1 ended with $status: the events and deployment logs of $SERVICE_NAME in App Runner say why"
                ;;
        esac
        [ $((SECONDS - began)) -lt "$TIMEOUT_S" ] ||
            fail $NOT_UPDATED "$1 is $status after $TIMEOUT_S s (--timeout): it goes on; look at operation $id of $ARN"
        sleep "$POLL_S"
    done
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

# One line that counts at a terminal; elsewhere a line for each change.
show_progress() {
    local line
    line=$(printf '%s: %-22s %4d s of at most %d s' "$1" "$2" "$4" "$TIMEOUT_S")
    if [ -t 1 ]; then
        printf '\r%s' "$line"
        LINE_IS_OPEN=yes
    elif [ "$2" != "$3" ]; then
        say "$line"
    fi
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
    need_programs
    json check "$1"
    make_private_folder
    need_credentials
    find_service
    describe "$DESCRIPTION"
    show_service
    plan_changes
}
