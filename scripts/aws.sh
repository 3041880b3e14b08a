# shellcheck shell=bash
# What the scripts that deploy on AWS share; they source it. It runs in the bash 3.2 of macOS too.
# A script that sources it sets READER, the program that reads the AWS CLI's JSON, and defines describe and is_over.
# Bash never expands a secret: READER alone looks at what may hold one.

# shellcheck disable=SC2034 # not every script has a use for each
readonly MISUSE=2 NO_AWS=3 NOT_FOUND=4 NOT_UPDATED=5 UNHEALTHY=6 NOT_ROLLED_BACK=7

REGION=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}
# shellcheck disable=SC2034 # a script's health check repeats so often
HEALTH_TRIES=6
DRY_RUN=
YES=
IMAGE=
TIMEOUT_S=1200
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

# A script with options of its own defines this: with the option and what stands behind it, it returns 0 if it took both.
take_option() { return 1; }

# shellcheck disable=SC2034 # a script looks at DRY_RUN and IMAGE
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
                [ "${TAKES_IMAGE:-}" ] || fail $MISUSE "--image: this script deploys no image; deploy_api_apprunner.sh and deploy_ecs.sh do"
                IMAGE=${2:-}
                [ "$IMAGE" ] || fail $MISUSE "--image: of which image?"
                shift
                ;;
            --help | -h)
                show_help
                exit 0
                ;;
            *)
                take_option "$1" "${2:-}" || fail $MISUSE "$1: no such option; --help shows them"
                shift
                ;;
        esac
        shift
    done
}

# Files with a service's configuration, and so with secrets, stay in a folder that nobody else can read.
make_private_folder() {
    umask 077
    PRIVATE=$(mktemp -d "${TMPDIR:-/tmp}/nerava-aws.XXXXXX") || fail $NO_AWS "can't write into ${TMPDIR:-/tmp}"
    trap 'rm -rf "$PRIVATE"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    DESCRIPTION=$PRIVATE/service.json
    # shellcheck disable=SC2034 # what plan_changes writes
    REQUEST=$PRIVATE/request.json
}

json() { python3 -E -S -B "$SCRIPTS/$READER" "$@"; }

# need_programs PROGRAM…: these, and python3.
need_programs() {
    local program
    for program in python3 "$@"; do
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
    # shellcheck disable=SC2034 # the scripts show it
    ACCOUNT=$(json get "$PRIVATE/caller.json" Account)
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

# wait_for WHAT LOOK…: leaves in STATUS what LOOK printed last. It ends with 0 where that is_over, with 1 after
# TIMEOUT_S, and with 2 when AWS does not answer any more.
wait_for() {
    local what=$1 began=$SECONDS seen='' failures=0
    shift
    while :; do
        if STATUS=$("$@"); then
            failures=0
        else
            # One look that fails says nothing; that nobody answers any more does.
            failures=$((failures + 1))
            [ $failures -lt 5 ] || return 2
            STATUS=${seen:-PENDING}
        fi
        show_progress "$what" "$STATUS" "$seen" $((SECONDS - began))
        seen=$STATUS
        ! is_over "$STATUS" || return 0
        [ $((SECONDS - began)) -lt "$TIMEOUT_S" ] || return 1
        sleep "$POLL_S"
    done
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
