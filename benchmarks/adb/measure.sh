# shellcheck shell=sh disable=SC2034,SC2154 # its variables are those of run_adb.sh, which reads it
# Pushing, and the runs.

# push_all: the tool, its libraries and the models into $folder, each compared with the phone's own hash of it;
# $work/pushed gets that hash for each model.
push_all() {
    need=$(($(bytes_of "$benchmark_model") / 1024 + 1024))
    for library in $(words "$libraries"); do need=$((need + $(bytes_of "$library") / 1024 + 1)); done
    need=$((need + $(awk -F'\t' '{ sum += int($3 / 1024) + 1 } END { print sum }' "$work/models")))
    on_phone 30 "rm -rf $folder; df -k /data/local/tmp" || fail "/data/local/tmp cannot be looked at on the phone: $answer"
    free=$(printf '%s\n' "$answer" | sed '/^ *$/d' | tail -n 1 | awk 'NF > 3 { print $(NF - 2) }')
    case $free in
    '' | *[!0-9]*) say "The phone does not say how much space is free." ;;
    *) [ "$free" -ge "$need" ] || fail "too little space on the phone: $need KiB are needed in /data/local/tmp, $free KiB \
are free. Remove something, or give fewer --models." ;;
    esac
    left_on_phone="$left_on_phone folder"
    on_phone 20 "mkdir -p $folder" || fail "$folder cannot be made on the phone: $answer"
    push_one "$benchmark_model" benchmark_model
    on_phone 20 "chmod 755 $folder/benchmark_model" || fail "chmod failed on the phone: $answer"
    for library in $(words "$libraries"); do push_one "$library" "$(basename "$library")"; done
    : >"$work/pushed"
    while IFS="$tab" read -r model path bytes sha256; do
        push_one "$path" "$(on_phone_name "$model")"
        say "$phone_hash" >>"$work/pushed"
    done <"$work/models"
}

# push_one FILE NAME: sets phone_hash, md5:... where the phone has no sha256sum.
push_one() {
    bounded 600 "$work/push" "$adb" -s "$serial" push "$1" "$folder/$2" || {
        phone_is_there || fail "the phone was unplugged while $1 was being copied to it. Plug it in and start again."
        case $(cat "$work/push") in
        *[Nn]o\ space*) fail "no space left on the phone while $1 was being copied to it. Remove something there, \
or give fewer --models." ;;
        *) fail "$1 could not be copied to the phone: $(one_line "$work/push")" ;;
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
        fail "the phone has neither sha256sum nor md5sum ($answer): what was copied cannot be checked, so nothing is measured."
    fi
    [ "$phone_hash" = "$wanted" ] || fail "$1 arrived damaged on the phone (hash $phone_hash, sent $wanted). \
Try again, with another cable or port."
}

# estimate: how long the pending runs take, waits for a cool phone aside. A warm-up takes half a second at least;
# 4 s for loading the model and for reading thermal status and battery before and after is a guess.
estimate() {
    awk -v runs="$(wc -l <"$work/pending")" -v least="$min_secs" -v pause="$cooldown" 'BEGIN {
        least += 0.5; if (runs < 1) exit
        minutes = int((runs * (least + 4) + (runs - 1) * pause + 59) / 60)
        printf "About %d minute%s: ", minutes, minutes == 1 ? "" : "s"
        printf "%d runs of at least %g s with %d s between.\n", runs, least, pause }'
}

# measure_all: every pending run. A combination that failed twice is left out; --resume tries it again.
measure_all() {
    total=$(wc -l <"$work/plan" | tr -d ' ')
    pending=$(wc -l <"$work/pending" | tr -d ' ')
    number=$((total - pending))
    tried=0 spent=0 alike=0 alike_code=''
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

# stop_if_all_fail: after 6 failures in a row with one exit code. Those of a delegate count only where nothing else is
# measured: a phone without a usable GPU must not keep the CPU from being measured.
stop_if_all_fail() {
    case $outcome in 'done') alike=0 ;; esac
    [ "$outcome" = failed ] || return 0
    case $backend,$backends in cpu,* | "$backends,$backend") ;; *) return 0 ;; esac
    [ "$exit_code" = "$alike_code" ] || alike=0
    alike=$((alike + 1)) alike_code=$exit_code
    [ "$alike" -lt 6 ] || fail "6 runs in a row failed alike (exit $exit_code): $failure. The tool, or how it is called, does \
not fit this phone or these models."
}

# measure: one run of $kind $round $model $backend $count; its line in runs.csv, its log, a line for the eye.
measure() {
    wait_until_cool || unplugged
    id=$(printf '%03d_%s_r%s_%s_%s_t%s' "$next_id" "$kind" "$round" "$(printf '%s' "$model" | tr ' ' '_')" "$backend" "$count")
    next_id=$((next_id + 1))
    log=logs/$id.log
    line="${library_path}${mask:+taskset $mask }$folder/benchmark_model --graph=$folder/$(on_phone_name "$model") \
$(tool_flags "$kind" "$backend" "$count")"
    before="$thermal|$level|$heat|$charging"
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
    255) if phone_is_there && [ -n "$phone_code" ]; then outcome=failed exit_code=255; else outcome=unplugged; fi ;;
    0) outcome='done' exit_code=0 ;;
    *) outcome=failed exit_code=$phone_code ;;
    esac
    end_run
    [ "$outcome" != unplugged ] || unplugged
    [ "$outcome" = 'done' ] || say "$combination" >>"$work/failures"
}

# end_run: the log and the line of the run that is under way, and what the eye gets.
end_run() {
    running=''
    tr -d '\r' <"$work/run" | awk '{ line[NR] = $0 } END { last = NR; sub(/MNEXT_RC=[0-9]+$/, "", line[last])
        while (last && line[last] == "") last--; for (i = 1; i <= last; i++) print line[i] }' >"$out/$log.new"
    mv "$out/$log.new" "$out/$log" || fail "$out/$log cannot be written (is the disk full?)."
    average=$(average_ms "$out/$log")
    why=''
    if [ "$outcome" = 'done' ]; then
        if grep -q 'Unconsumed cmdline flags' "$out/$log"; then
            outcome=failed
            why="the tool does not know all flags: $(sed -n 's/.*Unconsumed cmdline flags: *//p' "$out/$log" | head -n 1)"
        elif [ -z "$average" ]; then
            outcome=failed why="the tool printed no times"
        fi
    fi
    thermal='' level='' heat=''
    case $outcome in unplugged | interrupted) ;; *) look_at_phone || outcome=unplugged ;; esac
    IFS='|' read -r thermal_before level_before heat_before charging_before <<END
$before
END
    printf '%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s\n' "$id" "$kind" "$round" "$(csv "$model")" "$backend" \
        "$count" "$mask" "$exit_code" "$outcome" "$run_started" "$(($(date +%s) - clock_started))" "$thermal_before" "$thermal" \
        "$level_before" "$level" "$heat_before" "$heat" "$charging_before" "$log" "$(csv "$line")" >>"$out/runs.csv" ||
        fail "$out/runs.csv cannot be written (is the disk full?)."
    show_run
}

show_run() {
    failure=${why:-$(error_line "$out/$log")}
    case $outcome in
    'done') note="$average$(remark "$out/$log")" ;;
    failed) note="FAILED${exit_code:+ (exit $exit_code)}: $failure (log: $out/$log)" ;;
    timeout) note="stopped after $time_limit s (--time_limit)" ;;
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

unplugged() {
    reason="the phone was unplugged, or its connection broke"
    fail "$reason. What was measured is in $out. Plug it in and continue: $0 --resume=$out"
}
