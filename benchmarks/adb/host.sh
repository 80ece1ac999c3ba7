# shellcheck shell=sh disable=SC2034,SC2154 # its variables are those of run_adb.sh, which reads it
# What needs no phone: messages, time limits, hashes, lists.

say() { printf '%s\n' "$*"; }

# fail MESSAGE: ends the program; a session that has begun keeps MESSAGE as its reason.
fail() {
    [ -n "$reason" ] || reason=$*
    printf 'run_adb.sh: %s\n' "$*" >&2
    exit 1
}

# refuse MESSAGE: of flags that make no sense.
refuse() {
    printf 'run_adb.sh: %s\n' "$*" >&2
    exit 2
}

now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

# nap SECONDS: a sleep that a signal ends.
nap() {
    [ "$1" -gt 0 ] || return 0
    sleep "$1" &
    child=$!
    wait "$child"
    child=''
}

# bounded SECONDS OUTPUT COMMAND...: its exit status, 124 where it took longer; all that it prints goes to OUTPUT.
# The shell only waits, so that a signal is answered at once; `timeout` is not everywhere.
bounded() {
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
    bounded_code=$?
    end_watchdog
    child=''
    [ ! -e "$work/late" ] || bounded_code=124
    return "$bounded_code"
}

# end_watchdog: by SIGKILL, as a shell that was forked a moment ago can lose another signal.
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

# words LIST: a list with commas as words.
words() { printf '%s\n' "$1" | tr ',' ' '; }

# check_list FLAG LIST ALLOWED...: every entry is among ALLOWED, none stands twice.
check_list() {
    list_flag=$1 list=$2
    shift 2
    [ -n "$list" ] || refuse "$list_flag needs a list, such as $list_flag $(printf '%s' "$*" | tr ' ' ',')."
    for entry in $(words "$list"); do
        case " $* " in *" $entry "*) ;; *) refuse "$list_flag $list: '$entry' is not among $*." ;; esac
    done
    check_twice "$list_flag" "$list"
}

check_twice() {
    twice=$(printf '%s\n' "$2" | tr ',' '\n' | sort | uniq -d | head -n 1)
    [ -z "$twice" ] || refuse "$1 $2: '$twice' stands twice."
}

# check_count FLAG VALUE LEAST
check_count() {
    case $2 in '' | *[!0-9]* | ???????*) refuse "$1 takes a whole number of at least $3; received '$2'." ;; esac
    [ "$2" -ge "$3" ] || refuse "$1 takes a whole number of at least $3; received '$2'."
}

# check_settings: what the flags or a session's folder say makes sense.
check_settings() {
    check_list --backends "$backends" cpu gpu nnapi
    [ -n "$threads" ] || refuse "--threads needs a list, such as 1,4."
    for count in $(words "$threads"); do check_count "--threads $threads:" "$count" 1; done
    check_twice --threads "$threads"
    case $core_choice in big | all) ;; *) refuse "--cores takes big or all; received '$core_choice'." ;; esac
    case $memory in yes | no) ;; *) refuse "--memory takes yes or no; received '$memory'." ;; esac
    case $profile in yes | no) ;; *) refuse "--profile takes yes or no; received '$profile'." ;; esac
    check_count --rounds "$rounds" 1
    check_count --num_runs "$num_runs" 1
    check_count --warmup_runs "$warmup_runs" 0
    check_count --cooldown "$cooldown" 0
    check_count --thermal_wait "$thermal_wait" 0
    check_count --time_limit "$time_limit" 1
    case $min_secs in '' | *[!0-9.]* | *.*.* | .) refuse "--min_secs takes seconds such as 1 or 0.5; received '$min_secs'." ;; esac
}

# error_line FILE: the first line that says what went wrong, whole; without one the last that says anything.
error_line() {
    tr -d '\r' <"$1" | awk '/^[ \t]*$/ { next } { last = $0 } /Benchmarking failed/ { next }
        !error && /ERROR|FATAL|CANNOT|ABORT/ { error = $0 }
        !hint && /[Ff]ailed|[Ee]rror|[Cc]ould not|[Cc]an ?not|[Dd]enied|Segmentation fault|Aborted|Killed/ { hint = $0 }
        END { print error ? error : hint ? hint : last ? last : "the tool printed nothing" }'
}

# one_line FILE: the last three lines that say something, for a message.
one_line() { tr -d '\r' <"$1" | sed '/^[[:space:]]*$/d' | tail -n 3 | tr '\n' ' ' | sed 's/ *$//'; }
