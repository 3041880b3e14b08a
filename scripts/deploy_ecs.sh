#!/usr/bin/env bash
# Deploys the producer, the consumer or the console on Amazon ECS: see --help.
set -euo pipefail
SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # aws.sh looks at both
READER=ecs.py TAKES_IMAGE=yes
POLL_S=${ECS_POLL_S:-10}
CLUSTER=${ECS_CLUSTER:-nerava}
SERVICE=
DEFINITION_FILE=
# shellcheck source=scripts/aws.sh
. "$SCRIPTS/aws.sh"

show_help() {
    cat <<'END'
scripts/deploy_ecs.sh --service producer|consumer|console [--image URI] [--definition FILE]
                      [--dry-run] [--yes] [--timeout SECONDS]

Deploys a service on Amazon ECS. It shows what would change, asks, registers a revision of the service's task
definition with the new image and everything else as it is, updates the service, waits until its deployment is over,
and looks at the health of the new tasks. If they are not well, or it takes too long, the service goes back to the
revision before. For the producer, `migrate` and then `topics` run first, as tasks of the new revision.

  --service NAME     which one
  --image URI        the new image, in ECR. Without it, the image stays
  --definition FILE  take everything but the image from this task definition, as in deploy/ecs/: for other settings
  --dry-run          only show what would be done
  --yes              do not ask
  --timeout SECONDS  how long each task, the deployment, and going back may take (1200)

  export AWS_REGION=us-east-1
  scripts/deploy_ecs.sh --service producer --image 123456789012.dkr.ecr.us-east-1.amazonaws.com/nerava-producer:1.4.2

Settings:
  ECS_CLUSTER   the cluster (nerava)
  SERVICE_NAME  the service in it (nerava-producer, nerava-consumer, nerava-console)
  ECS_RUN_FIRST what runs before a new producer (migrate topics); `topics` where migrations are run by themselves
  AWS_REGION    its region; without it, AWS_DEFAULT_REGION or `aws configure get region`

Exit codes:
  0  done, or nothing to do
  1  you did not say yes; nothing was changed
  2  a wrong option, or a variable that is missing or wrong
  3  aws, python3 or the credentials are missing, or AWS does not answer
  4  there is no such service in the cluster
  5  the service can't be updated, a task before it failed, or the update was refused or took too long
  6  new tasks were not well
  7  as 5 or 6, and the service could not go back: look at it
After 5 and 6 the service runs the revision before, unless the message says otherwise.

Needed: the AWS CLI, and python3 (3.8 or later). Values of variables are shown hidden, and not even by `bash -x`;
values of secrets are never read.
END
}

take_option() {
    [ "$2" ] || [[ ! $1 =~ ^--(service|definition)$ ]] || fail $MISUSE "$1: of which one?"
    case $1 in
        --service) SERVICE=$2 ;;
        --definition) DEFINITION_FILE=$2 ;;
        *) return 1 ;;
    esac
}

need_service() {
    case $SERVICE in
        producer | consumer | console) SERVICE_NAME=${SERVICE_NAME:-nerava-$SERVICE} ;;
        *) fail $MISUSE "--service: should be producer, consumer or console" ;;
    esac
}

# FIRST is what runs before a new producer. Any other command would have the producer's rights, too.
need_commands() {
    local command
    FIRST=
    [ "$SERVICE" = producer ] || return 0
    FIRST=${ECS_RUN_FIRST-migrate topics}
    for command in $FIRST; do
        [[ $command =~ ^(migrate|topics)$ ]] || fail $MISUSE "ECS_RUN_FIRST: should be migrate and topics, one of them, or nothing"
    done
}

describe() {
    local error
    aws_says "$1" ecs describe-services --cluster "$CLUSTER" --services "$SERVICE_NAME" && return 0
    error=$(why)
    [[ $error != *ClusterNotFoundException* ]] || fail $NOT_FOUND "no cluster $CLUSTER in $REGION of account $ACCOUNT (ECS_CLUSTER, AWS_REGION)"
    fail $NO_AWS "can't describe the service: $error"
}

find_service() {
    describe "$DESCRIPTION"
    [ "$(json find "$DESCRIPTION")" ] ||
        fail $NOT_FOUND "no service $SERVICE_NAME in cluster $CLUSTER in $REGION of account $ACCOUNT (SERVICE_NAME, ECS_CLUSTER)"
    BEFORE=$(json get "$DESCRIPTION" services.0.taskDefinition)
    say "$SERVICE_NAME: $(json get "$DESCRIPTION" services.0.status), in cluster $CLUSTER in $REGION of account $ACCOUNT," \
        "of ${BEFORE##*/}"
}

plan_changes() {
    local definition=$PRIVATE/definition.json command steps=register-task-definition
    aws_says "$definition" ecs describe-task-definition --task-definition "$BEFORE" --include TAGS ||
        fail $NO_AWS "can't describe the task definition: $(why)"
    json plan "$definition" "$REQUEST" "$SERVICE" "$IMAGE" "$DEFINITION_FILE"
    for command in $FIRST; do steps="$steps, run-task $command"; done
    [ ! -s "$REQUEST" ] || say "$steps, update-service"
}

register() {
    aws_says "$PRIVATE/registered.json" ecs register-task-definition --cli-input-json "file://$REQUEST" ||
        fail $NOT_UPDATED "register-task-definition was refused: $(why)"
    AFTER=$(json get "$PRIVATE/registered.json" taskDefinition.taskDefinitionArn)
    say "registered ${AFTER##*/}"
}

# run_first COMMAND: as a task of the new revision, before the service has it.
run_first() {
    local task over=0 ending
    json task_input "$DESCRIPTION" "$PRIVATE/task.json" "$AFTER" "$SERVICE" "$1"
    aws_says "$PRIVATE/started.json" ecs run-task --cli-input-json "file://$PRIVATE/task.json" ||
        fail $NOT_UPDATED "run-task $1 was refused, and the service left as it is: $(why)"
    task=$(json get "$PRIVATE/started.json" tasks.0.taskArn)
    [ "$task" ] || fail $NOT_UPDATED "run-task $1 started no task, and the service was left as it is:" \
        "$(json get "$PRIVATE/started.json" failures.0.reason)"
    wait_for "run-task $1" look_at_task "$task" || over=$?
    case $over in
        1) fail $NOT_UPDATED "run-task $1 is $STATUS after $TIMEOUT_S s (--timeout), and the service was left as it is: look at $task" ;;
        2) fail $NOT_UPDATED "run-task $1 goes on unseen, and the service was left as it is: AWS does not answer: $(why)" ;;
    esac
    ending=$(json ended "$PRIVATE/task-now.json" "$SERVICE") ||
        fail $NOT_UPDATED "run-task $1 failed, and the service was left as it is: $ending; the log of ${task##*/} says why"
}

look_at_task() {
    aws_says "$PRIVATE/task-now.json" ecs describe-tasks --cluster "$CLUSTER" --tasks "$1" || return 1
    json get "$PRIVATE/task-now.json" tasks.0.lastStatus
}

update() {
    rm -f "$PRIVATE/seen"
    aws_says "$PRIVATE/answer.json" ecs update-service --cluster "$CLUSTER" --service "$SERVICE_NAME" --task-definition "$1"
}

# look_at_deployment REVISION: prints how far its deployment is, or UNHEALTHY once one of its tasks is.
look_at_deployment() {
    local state sick=''
    aws_says "$PRIVATE/now.json" ecs describe-services --cluster "$CLUSTER" --services "$SERVICE_NAME" || return 1
    state=$(json rollout "$PRIVATE/now.json" "$1") || return 1
    # An answer may be older than the update: then the deployment is not listed yet.
    [ "$state" != REPLACED ] || [ -e "$PRIVATE/seen" ] || state=PENDING
    [ "$state" = PENDING ] || : >"$PRIVATE/seen"
    if [ "$state" = IN_PROGRESS ]; then
        look_at_tasks && sick=$(json unhealthy "$PRIVATE/tasks.json" "$SERVICE_NAME" "$1") || return 1
    fi
    printf '%s\n' "${sick:-$state}"
}

look_at_tasks() {
    local tasks
    aws_says "$PRIVATE/list.json" ecs list-tasks --cluster "$CLUSTER" --service-name "$SERVICE_NAME" --max-items 100 || return 1
    tasks=$(json task_arns "$PRIVATE/list.json") || return 1
    if [ "$tasks" ]; then
        # shellcheck disable=SC2086 # an ARN for each word
        aws_says "$PRIVATE/tasks.json" ecs describe-tasks --cluster "$CLUSTER" --tasks $tasks
    else
        printf '{"tasks": []}\n' >"$PRIVATE/tasks.json"
    fi
}

is_over() { [[ $1 =~ ^(STOPPED|COMPLETED|FAILED|UNHEALTHY|REPLACED)$ ]]; }

deploy() {
    local over=0
    update "$AFTER" || fail $NOT_UPDATED "update-service was refused, and the service left as it is: $(why)"
    wait_for update-service look_at_deployment "$AFTER" || over=$?
    case $over-$STATUS in
        0-COMPLETED) ;;
        0-UNHEALTHY) roll_back $UNHEALTHY "a new task is unhealthy" ;;
        0-FAILED) roll_back $UNHEALTHY "new tasks ended, or did not start" ;;
        0-*) roll_back $UNHEALTHY "another deployment took the place of this one" ;;
        1-*) roll_back $NOT_UPDATED "the deployment was $STATUS after $TIMEOUT_S s (--timeout)" ;;
        *) fail $NOT_ROLLED_BACK "the deployment of ${AFTER##*/} goes on unseen: AWS does not answer any more: $(why)" ;;
    esac
}

check_health() {
    local try words=''
    for ((try = 1; try <= HEALTH_TRIES; try++)); do
        [ "$try" = 1 ] || sleep "$POLL_S"
        if look_at_tasks && words=$(json healthy "$PRIVATE/tasks.json" "$PRIVATE/now.json" "$AFTER"); then
            say "$SERVICE_NAME: ${AFTER##*/}, $words"
            return 0
        fi
    done
    roll_back $UNHEALTHY "${words:-nobody knows how the tasks are}, $HEALTH_TRIES times"
}

# roll_back CODE WHY: to the revision before, then ends with CODE. What somebody else deploys meanwhile is left alone.
roll_back() {
    local now over=0
    say "going back to ${BEFORE##*/}: $2"
    aws_says "$PRIVATE/now.json" ecs describe-services --cluster "$CLUSTER" --services "$SERVICE_NAME" ||
        fail $NOT_ROLLED_BACK "$2; whether the service can go back is not known: $(why)"
    now=$(json get "$PRIVATE/now.json" services.0.taskDefinition)
    case $now in
        # The circuit breaker of ECS may be on its way back already; then this changes nothing.
        "$AFTER" | "$BEFORE") ;;
        *) fail $NOT_UPDATED "$2; somebody deployed ${now##*/} meanwhile, which was left as it is" ;;
    esac
    update "$BEFORE" || fail $NOT_ROLLED_BACK "$2; going back to ${BEFORE##*/} was refused: $(why)"
    wait_for "going back" look_at_deployment "$BEFORE" || over=$?
    [ "$over-$STATUS" = 0-COMPLETED ] ||
        fail $NOT_ROLLED_BACK "$2; going back to ${BEFORE##*/} is $STATUS: look at the service's events"
    fail "$1" "$2; the service is back at ${BEFORE##*/}. The log of the tasks of ${AFTER##*/} says more"
}

main() {
    local command
    read_options "$@"
    need_service
    need_programs aws
    json check "$IMAGE" "$DEFINITION_FILE"
    need_commands
    make_private_folder
    need_credentials
    find_service
    plan_changes
    if [ ! -s "$REQUEST" ]; then
        say "nothing to change"
        return
    elif [ "$DRY_RUN" ]; then
        say "dry run: nothing was deployed"
        return
    fi
    json ready "$DESCRIPTION"
    ask "Deploy $SERVICE_NAME?"
    register
    for command in $FIRST; do
        run_first "$command"
    done
    deploy
    check_health
}

main "$@"
