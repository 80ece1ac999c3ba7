# shellcheck shell=sh disable=SC2154 # the variables are those of run_adb.sh, which sources this file
# The lock of a session folder: only one run_adb.sh at a time writes to $out.
#
# $out/.lock is a folder that contains one file, named PID@HOST@TIME after its holder. Every change of hands is a single
# rename, so that no lock is ever without a holder and no two contenders can succeed:
# - To take a free lock, a folder that already contains the new holder's file is renamed to .lock. This fails if another
#   contender's .lock is there.
# - To take over a stale lock (its process is dead), the holder's file is renamed. The name is unique: one contender
#   succeeds, and a lock that was taken over in the meantime is left alone.

# lock_session: takes the lock, or fails and names its holder.
lock_session() {
    lock=$out/.lock
    lock_host=$(uname -n)
    lock_id=$$@$lock_host@$(date -u +%Y%m%dT%H%M%SZ)
    attempts=0
    while [ ! -e "$lock/$lock_id" ]; do
        attempts=$((attempts + 1))
        [ "$attempts" -le 100 ] || fail "cannot lock $out. If no other run_adb.sh uses it: rm -r $lock"
        holder=$(ls "$lock" 2>/dev/null)
        if [ -z "$holder" ]; then
            take_free_lock
        else
            require_stale "$holder"
            mv -f "$lock/$holder" "$lock/$lock_id" 2>/dev/null
        fi
    done
}

take_free_lock() {
    # A process killed at the wrong moment leaves an empty folder, or one with another contender's .lock.* in it.
    rm -rf "$lock"/.lock.*
    rmdir "$lock" 2>/dev/null
    if ! mkdir "$lock.$lock_id" || ! printf '' >"$lock.$lock_id/$lock_id"; then fail "cannot write to $out."; fi
    mv -f "$lock.$lock_id" "$lock" 2>/dev/null
    rm -rf "$lock.$lock_id" "$lock/.lock.$lock_id" # if .lock exists by now, mv moves the folder into it
}

# require_stale HOLDER: fails unless HOLDER is a dead process of this computer.
require_stale() {
    pid=${1%%@*} since=${1##*@} host=${1#*@}
    host=${host%@*}
    case $pid in '' | *[!0-9]*)
        fail "$lock does not say which process holds it. If no other run_adb.sh is using $out: rm -r $lock"
        ;;
    esac
    if [ "$host" != "$lock_host" ] || is_alive "$pid"; then
        fail "another run_adb.sh (process $pid on $host, since $since) is using $out. Wait until it has finished; \
if it is no longer running: rm -r $lock"
    fi
}

# is_alive PID: kill -0 alone would miss the processes of other users.
is_alive() { kill -0 "$1" 2>/dev/null || [ -d "/proc/$1" ] || ps -p "$1" >/dev/null 2>&1; }

unlock_session() {
    rm -rf "$lock.$lock_id"
    rm -f "$lock/$lock_id"
    rmdir "$lock" 2>/dev/null
}
