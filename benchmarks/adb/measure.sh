# shellcheck shell=sh disable=SC2034,SC2154 # the variables are those of run_adb.sh, which sources this file
# Pushing the files and measuring.

# push_files: pushes the tool, its libraries, and the models to $folder and verifies each file's hash there. Writes the
# hashes of the models to $work/pushed.
push_files() {
    need=$(($(bytes_of "$benchmark_model") / 1024 + 1024))
    for library in $(words "$libraries"); do need=$((need + $(bytes_of "$library") / 1024 + 1)); done
    need=$((need + $(awk -F'\t' '{ sum += int($3 / 1024) + 1 } END { print sum }' "$work/models")))
    on_phone 30 "rm -rf $folder; df -k /data/local/tmp" || fail "cannot read /data/local/tmp on the phone: $answer"
    free=$(printf '%s\n' "$answer" | sed '/^ *$/d' | tail -n 1 | awk 'NF > 3 { print $(NF - 2) }')
    case $free in
    '' | *[!0-9]*) say "The phone does not report its free space." ;;
    *) [ "$free" -ge "$need" ] || fail "not enough space on the phone: /data/local/tmp needs $need KiB and has $free KiB \
free. Delete something, or list fewer --models." ;;
    esac
    left_on_phone="$left_on_phone folder"
    on_phone 20 "mkdir -p $folder" || fail "cannot create $folder on the phone: $answer"
    push_one "$benchmark_model" benchmark_model
    on_phone 20 "chmod 755 $folder/benchmark_model" || fail "chmod failed on the phone: $answer"
    for library in $(words "$libraries"); do push_one "$library" "$(basename "$library")"; done
    : >"$work/pushed"
    while IFS="$tab" read -r model path bytes sha256; do
        push_one "$path" "$(on_phone_name "$model")"
        say "$phone_hash" >>"$work/pushed"
    done <"$work/models"
}

# push_one FILE NAME: sets phone_hash, which is md5:... if the phone has no sha256sum.
push_one() {
    with_timeout 600 "$work/push" "$adb" -s "$serial" push "$1" "$folder/$2" || {
        phone_is_connected || fail "the phone was disconnected while $1 was being pushed. Reconnect it and start again."
        case $(cat "$work/push") in
        *[Nn]o\ space*) fail "no space left on the phone while $1 was being pushed. Delete something there, or list \
fewer --models." ;;
        *) fail "could not push $1 to the phone: $(one_line "$work/push")" ;;
        esac
    }
    expected=$(host_hash "$1")
    if on_phone 120 "sha256sum $folder/$2"; then
        phone_hash=$(printf '%s\n' "$answer" | sed -n '1s/^\([0-9a-f]\{64\}\)[^0-9a-f].*/\1/p')
        wanted=$expected
    elif on_phone 120 "md5sum $folder/$2"; then
        phone_hash=md5:$(printf '%s\n' "$answer" | sed -n '1s/^\([0-9a-f]\{32\}\)[^0-9a-f].*/\1/p')
        wanted=md5:$(host_hash "$1" md5)
    else
        fail "the phone has neither sha256sum nor md5sum ($answer): pushed files cannot be verified."
    fi
    [ "$phone_hash" = "$wanted" ] || fail "$1 was corrupted on the way to the phone (hash $phone_hash instead of \
$wanted). Try again with another cable or port."
}

# estimate: prints the duration of the pending runs without waits for a cool phone. Assumes 0.5 s of warm-up, and 4 s to
# load the model and to read thermal status and battery before and after; the 4 s are a guess.
estimate() {
    awk -v runs="$(wc -l <"$work/pending")" -v least="$min_secs" -v pause="$cooldown" 'BEGIN {
        least += 0.5; if (runs < 1) exit
        minutes = int((runs * (least + 4) + (runs - 1) * pause + 59) / 60)
        printf "About %d minute%s: ", minutes, minutes == 1 ? "" : "s"
        printf "%d runs of at least %g s with %d s between.\n", runs, least, pause }'
}

# measure_all: every pending run. A combination that failed twice is skipped; --resume retries it.
measure_all() {
    total=$(wc -l <"$work/plan" | tr -d ' ')
    pending=$(wc -l <"$work/pending" | tr -d ' ')
    number=$((total - pending))
    tried=0 spent=0 consecutive=0 failure_code=''
    next_id=$(($(wc -l <"$out/runs.csv")))
    : >"$work/failures"
    while IFS='|' read -r kind round model backend count <&3; do
        number=$((number + 1))
        combination="$kind $model $backend $count"
        [ "$(grep -c -x -F -e "$combination" "$work/failures")" -lt 2 ] || continue
        [ "$tried" -eq 0 ] || nap "$cooldown"
        clock=$(date +%s)
        measure
        tried=$((tried + 1))
        spent=$((spent + $(date +%s) - clock))
        stop_if_all_fail
    done 3<"$work/pending"
}

# stop_if_all_fail: after 6 consecutive failures with the same exit code. Failures of a delegate count only if nothing
# else is measured: without a usable GPU, the CPU should still be measured.
stop_if_all_fail() {
    case $outcome in 'done') consecutive=0 ;; esac
    [ "$outcome" = failed ] || return 0
    case $backend,$backends in cpu,* | "$backends,$backend") ;; *) return 0 ;; esac
    [ "$exit_code" = "$failure_code" ] || consecutive=0
    consecutive=$((consecutive + 1)) failure_code=$exit_code
    [ "$consecutive" -lt 6 ] || fail "6 consecutive runs failed with exit code $exit_code: $failure. The tool or its flags are \
not compatible with this phone or these models."
}

# measure: one run of $kind $round $model $backend $count. Adds its log and its line in runs.csv, and prints the result.
measure() {
    wait_until_cool || stop_unplugged
    id=$(printf '%03d_%s_r%s_%s_%s_t%s' "$next_id" "$kind" "$round" "$(printf '%s' "$model" | tr ' ' '_')" "$backend" "$count")
    next_id=$((next_id + 1))
    log=logs/$id.log
    line="${library_path}${mask:+taskset $mask }$folder/benchmark_model --graph=$folder/$(on_phone_name "$model") \
$(tool_flags "$kind" "$backend" "$count")"
    before="$thermal|$level|$temperature|$charging"
    run_started=$(now) clock_started=$(date +%s)
    printf '[%s of %s] %s, round %s, %s, %s, threads %s: ' "$number" "$total" "$kind" "$round" "$model" "$backend" "$count"
    running=yes exit_code='' answer_file=run
    on_phone "$time_limit" "sh -c 'echo \$\$ >$folder/pid; exec ${line}'"
    code=$? answer_file=answer
    case $code in
    124)
        outcome=timeout
        stop_on_phone || outcome=unplugged
        ;;
    255) if phone_is_connected && [ -n "$phone_code" ]; then outcome=failed exit_code=255; else outcome=unplugged; fi ;;
    0) outcome='done' exit_code=0 ;;
    *) outcome=failed exit_code=$phone_code ;;
    esac
    end_run
    [ "$outcome" != unplugged ] || stop_unplugged
    [ "$outcome" = 'done' ] || say "$combination" >>"$work/failures"
}

# end_run: saves the log of the current run and its line in runs.csv, and prints the result.
end_run() {
    running=''
    tr -d '\r' <"$work/run" | awk '{ line[NR] = $0 } END { last = NR; sub(/MNEXT_RC=[0-9]+$/, "", line[last])
        while (last && line[last] == "") last--; for (i = 1; i <= last; i++) print line[i] }' >"$out/$log.new"
    mv "$out/$log.new" "$out/$log" || fail "cannot write $out/$log (is the disk full?)."
    average=$(average_ms "$out/$log")
    why=''
    if [ "$outcome" = 'done' ]; then
        if grep -q 'Unconsumed cmdline flags' "$out/$log"; then
            outcome=failed
            why="the tool does not support these flags: $(sed -n 's/.*Unconsumed cmdline flags: *//p' "$out/$log" | head -n 1)"
        elif [ -z "$average" ]; then
            outcome=failed why="the tool printed no latency"
        fi
    fi
    thermal='' level='' temperature=''
    case $outcome in unplugged | interrupted) ;; *) read_thermal_and_battery || outcome=unplugged ;; esac
    IFS='|' read -r thermal_before level_before temperature_before charging_before <<END
$before
END
    printf '%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s\n' "$id" "$kind" "$round" "$(csv "$model")" "$backend" \
        "$count" "$mask" "$exit_code" "$outcome" "$run_started" "$(($(date +%s) - clock_started))" "$thermal_before" "$thermal" \
        "$level_before" "$level" "$temperature_before" "$temperature" "$charging_before" "$log" "$(csv "$line")" >>"$out/runs.csv" ||
        fail "cannot write $out/runs.csv (is the disk full?)."
    show_run
}

show_run() {
    failure=${why:-$(error_line "$out/$log")}
    case $outcome in
    'done') note="$average$(delegation_note "$out/$log")" ;;
    failed) note="FAILED${exit_code:+ (exit $exit_code)}: $failure (log: $out/$log)" ;;
    timeout) note="terminated after $time_limit s (--time_limit)" ;;
    *) note=$outcome ;;
    esac
    [ -z "$thermal" ] || note="$note, thermal $thermal"
    left=''
    if [ "$number" -lt "$total" ]; then
        seconds=$(((spent + $(date +%s) - clock) * (total - number) / (tried + 1) + cooldown * (total - number)))
        left="; about $((seconds / 60)) min $((seconds % 60)) s left"
    fi
    say "$note$left"
}

stop_unplugged() {
    reason="the phone was disconnected"
    fail "$reason. The results so far are in $out. Reconnect it and resume: $0 --resume=$out"
}
