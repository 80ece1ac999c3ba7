# shellcheck shell=sh disable=SC2034,SC2154 # the variables are those of run_adb.sh, which sources this file
# Everything that does not involve the phone: messages, time limits, hashes, lists, flag validation.

say() { printf '%s\n' "$*"; }

# fail MESSAGE: exits with status 1; MESSAGE becomes the reason in session.txt, if a session has begun.
fail() {
    [ -n "$reason" ] || reason=$*
    printf 'run_adb.sh: %s\n' "$*" >&2
    exit 1
}

# refuse MESSAGE: exits with status 2, for invalid flags.
refuse() {
    printf 'run_adb.sh: %s\n' "$*" >&2
    exit 2
}

now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

# nap SECONDS: a sleep that signals interrupt.
nap() {
    [ "$1" -gt 0 ] || return 0
    sleep "$1" &
    child=$!
    wait "$child"
    child=''
}

# with_timeout SECONDS OUTPUT COMMAND...: runs COMMAND; its stdout and stderr go to the file OUTPUT. Returns its exit
# status, or 124 if it was killed at the time limit. The shell only waits, so it handles signals at once. Not every system
# has `timeout`.
with_timeout() {
    limit=$1 output=$2
    shift 2
    rm -f "$work/late" "$work/sleeper"
    "$@" >"$output" 2>&1 </dev/null &
    child=$!
    (
        sleep "$limit" &
        echo $! >"$work/sleeper"
        wait
        : >"$work/late"
        kill -9 "$child"
    ) >/dev/null 2>&1 </dev/null &
    watchdog=$!
    wait "$child" 2>/dev/null
    timeout_code=$?
    end_watchdog
    child=''
    [ ! -e "$work/late" ] || timeout_code=124
    return "$timeout_code"
}

# end_watchdog: by SIGKILL, because a shell that was just forked can lose other signals.
end_watchdog() {
    [ -n "$watchdog" ] || return 0
    kill -9 "$watchdog" 2>/dev/null
    wait "$watchdog" 2>/dev/null
    [ ! -s "$work/sleeper" ] || kill -9 "$(cat "$work/sleeper")" 2>/dev/null
    watchdog=''
}

# host_hash FILE [md5]: its SHA-256 (or MD5) in hexadecimal.
host_hash() {
    if [ "${2-}" = md5 ]; then
        if command -v md5sum >/dev/null; then md5sum <"$1"; elif command -v md5 >/dev/null; then md5 -q "$1"; else
            openssl dgst -md5 -r <"$1"
        fi
    elif command -v sha256sum >/dev/null; then sha256sum <"$1"; elif command -v shasum >/dev/null; then
        shasum -a 256 <"$1"
    else
        openssl dgst -sha256 -r <"$1"
    fi | sed 's/[^0-9a-f].*//'
}

bytes_of() { wc -c <"$1" | tr -d ' '; }

# bytes_at FILE OFFSET COUNT: in hexadecimal, without spaces.
bytes_at() { od -An -v -tx1 -j "$2" -N "$3" "$1" 2>/dev/null | tr -d ' \n'; }

absolute() { printf '%s/%s\n' "$(cd "$(dirname "$1")" && pwd)" "$(basename "$1")"; }

# csv VALUE: as a field of a CSV file (RFC 4180).
csv() {
    case $1 in
    *[,\"]*) printf '"%s"' "$(printf '%s' "$1" | sed 's/"/""/g')" ;;
    *) printf '%s' "$1" ;;
    esac
}

# words LIST: a comma-separated list, separated by spaces.
words() { printf '%s\n' "$1" | tr ',' ' '; }

# check_list FLAG LIST ALLOWED...: LIST is not empty, and each entry is allowed and unique.
check_list() {
    list_flag=$1 list=$2
    shift 2
    [ -n "$list" ] || refuse "$list_flag requires a list, such as $list_flag $(printf '%s' "$*" | tr ' ' ',')."
    for entry in $(words "$list"); do
        case " $* " in *" $entry "*) ;; *) refuse "$list_flag $list: unknown '$entry'; allowed: $*." ;; esac
    done
    check_unique "$list_flag" "$list"
}

check_unique() {
    duplicate=$(printf '%s\n' "$2" | tr ',' '\n' | sort | uniq -d | head -n 1)
    [ -z "$duplicate" ] || refuse "$1 $2: '$duplicate' is listed twice."
}

# check_integer FLAG VALUE MINIMUM: sets $integer to VALUE without leading zeros, which the shell would read as octal.
check_integer() {
    case $2 in '' | *[!0-9]* | ???????*) refuse "$1 requires an integer of at least $3; received '$2'." ;; esac
    integer=${2#"${2%%[!0]*}"}
    integer=${integer:-0}
    [ "$integer" -ge "$3" ] || refuse "$1 requires an integer of at least $3; received '$2'."
}

# check_settings: validates the values of the flags, or those saved in session.txt.
check_settings() {
    check_list --backends "$backends" cpu gpu nnapi
    [ -n "$threads" ] || refuse "--threads requires a list, such as 1,4."
    integers=''
    for count in $(words "$threads"); do
        check_integer "--threads $threads:" "$count" 1
        integers=$integers${integers:+,}$integer
    done
    threads=$integers
    check_unique --threads "$threads"
    case $core_choice in big | all) ;; *) refuse "--cores must be big or all; received '$core_choice'." ;; esac
    case $memory in yes | no) ;; *) refuse "--memory must be yes or no; received '$memory'." ;; esac
    case $profile in yes | no) ;; *) refuse "--profile must be yes or no; received '$profile'." ;; esac
    check_integer --rounds "$rounds" 1 && rounds=$integer
    check_integer --num_runs "$num_runs" 1 && num_runs=$integer
    check_integer --warmup_runs "$warmup_runs" 0 && warmup_runs=$integer
    check_integer --cooldown "$cooldown" 0 && cooldown=$integer
    check_integer --thermal_wait "$thermal_wait" 0 && thermal_wait=$integer
    check_integer --time_limit "$time_limit" 1 && time_limit=$integer
    case $min_secs in '' | *[!0-9.]* | *.*.* | .)
        refuse "--min_secs requires seconds, such as 1 or 0.5; received '$min_secs'."
        ;;
    esac
}

# error_line FILE: the first line that names an error; if there is none, the last line that is not blank.
error_line() {
    tr -d '\r' <"$1" | awk '/^[ \t]*$/ { next } { last = $0 } /Benchmarking failed/ { next }
        !error && /ERROR|FATAL|CANNOT|ABORT/ { error = $0 }
        !hint && /[Ff]ailed|[Ee]rror|[Cc]ould not|[Cc]an ?not|[Dd]enied|Segmentation fault|Aborted|Killed/ { hint = $0 }
        END { print error ? error : hint ? hint : last ? last : "the tool printed nothing" }'
}

# one_line FILE: the last three lines that are not blank, joined, for a message.
one_line() { tr -d '\r' <"$1" | sed '/^[[:space:]]*$/d' | tail -n 3 | tr '\n' ' ' | sed 's/ *$//'; }
