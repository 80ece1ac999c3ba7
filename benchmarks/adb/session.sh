# shellcheck shell=sh disable=SC2034,SC2154 # its variables are those of run_adb.sh, which reads it
# The session: which models, in which order, its folder, and how it goes on where it was.

# find_models: the newest exported files, as a list with commas in $models.
find_models() {
    [ -d "$runs_root" ] || fail "there is no folder $runs_root with exported models. Name them (--models a.tflite,b.tflite), \
or export some: python -m pipelines.export_tflite --quantize int8 (without a training add --init=random)."
    find "$runs_root" -type f -name '*.tflite' ! -path '*/.*/*' -exec ls -t {} + >"$work/exported" 2>/dev/null
    # FOLDER/NAME_SIZE_KIND.tflite, the newest first; the newest one's size is taken. Networks of one kind run side by side.
    : >"$work/left_out"
    awk -F/ -v left_out="$work/left_out" '
        { name = $NF; folder = $(NF - 1) }
        name ~ /_probabilities\.tflite$/ { probabilities += !left[name]++; next }
        folder !~ /^tflite_(float32|int8)$/ || !match(name, /_[0-9]+_(float32|int8)\.tflite$/) {
          kinds += !left[name]++; next }
        { split(substr(name, RSTART + 1), part, "_"); network = substr(name, 1, RSTART - 1) " " part[2]
          if (!size) size = part[1]
          if (part[1] != size) sizes += !left[name]++
          else if (!seen[network]++) print part[2] "\t" name "\t" $0 }
        END { if (sizes) list = ", " sizes " of other input sizes"
              if (kinds) list = list ", " kinds " of other kinds"
              if (probabilities) list = list ", " probabilities " with probabilities (for apps)"
              print substr(list, 3) >left_out }' "$work/exported" | sort | cut -f 3 >"$work/chosen"
    models=$(tr '\n' ',' <"$work/chosen" | sed 's/,$//')
    [ -n "$models" ] || fail "no exported model (tflite_float32/*.tflite, tflite_int8/*.tflite) under $runs_root. Export one: \
python -m pipelines.export_tflite --quantize int8 (without a training add --init=random); or name files: --models a.tflite,b.tflite."
    say "The newest exported models under $runs_root:"
    sed 's/^/  /' "$work/chosen"
    left_out=$(cat "$work/left_out")
    [ -z "$left_out" ] || say "Left out: $left_out; --models names files."
}

# read_models: checks the files of $models; $work/models gets a line each: name, path, bytes, sha256 (with tabs).
read_models() {
    : >"$work/models"
    printf '%s\n' "$models" | tr ',' '\n' >"$work/named"
    while IFS= read -r path; do
        [ -f "$path" ] || fail "--models: there is no file '$path'."
        model=$(basename "$path" .tflite)
        case $model in '' | -* | *[!A-Za-z0-9._+\ -]*) fail "--models: rename $path; its name may hold letters, digits, \
spaces and . _ + -" ;; esac
        [ "$(bytes_at "$path" 4 4)" = 54464c33 ] || fail "--models: $path is no TFLite file."
        # On the phone a space in a name is a _.
        ! cut -f 1 "$work/models" | tr ' ' '_' | grep -q -x -F -e "$(printf '%s' "$model" | tr ' ' '_')" ||
            fail "--models: two files are named $model.tflite, or differ in spaces alone; they could not be told apart. \
Rename one."
        printf '%s\t%s\t%s\t%s\n' "$model" "$(absolute "$path")" "$(bytes_of "$path")" "$(host_hash "$path")" >>"$work/models"
    done <"$work/named"
    models=$(cut -f 2 "$work/models" | tr '\n' ',' | sed 's/,$//')
}

on_phone_name() { printf '%s.tflite' "$1" | tr ' ' '_'; }

# make_plan: $work/plan gets a line a run, kind|round|model|backend|threads; the order turns around every second round.
make_plan() {
    : >"$work/plan"
    round=1
    while [ "$round" -le "$rounds" ]; do
        for count in $(words "$threads"); do
            for backend in $(words "$backends"); do
                case $backend,,$delegate_threads, in cpu,* | *",$count,"*) ;; *) continue ;; esac
                cut -f 1 "$work/models" | sed "s/.*/latency|$round|&|$backend|$count/"
            done
        done >"$work/round"
        if [ $((round % 2)) -eq 0 ]; then
            awk '{ line[NR] = $0 } END { for (i = NR; i; i--) print line[i] }' "$work/round"
        else
            cat "$work/round"
        fi >>"$work/plan"
        round=$((round + 1))
    done
    for kind in memory profile; do
        case $kind,$memory,$profile in memory,no,* | profile,*,no) continue ;; esac
        for backend in $(words "$backends"); do
            cut -f 1 "$work/models" | sed "s/.*/$kind|1|&|$backend|${threads%%,*}/"
        done >>"$work/plan"
    done
}

# still_to_do: $work/pending gets the lines of the plan that have no finished run.
still_to_do() {
    awk -F, '$9 == "done" { print $2 "|" $3 "|" $4 "|" $5 "|" $6 } END { print "-" }' "$out/runs.csv" >"$work/done"
    grep -v -x -F -f "$work/done" "$work/plan" >"$work/pending"
}

# first_pending: which runs of $work/pending, for a message; the rounds of one count once.
first_pending() {
    cut -d '|' -f 1,3- "$work/pending" | awk '!seen[$0]++ && ++n <= 3 { list = list (n > 1 ? "; " : "") $0 }
        END { gsub(/[|]/, " ", list); print (n > 3 ? ", first: " : ": ") list (n > 3 ? ", and " n - 3 " more" : "") }'
}

# write_session: all of session.txt, whole or not at all.
write_session() {
    {
        cat <<END
format=1
started_utc=$started_utc
${finished_utc:+finished_utc=$finished_utc
}status=$status
reason=$(printf '%s' "$reason" | tr '\n' ' ')
command=$command
host_os=$host_os
adb_version=$adb_version
backends=$backends
threads=$threads
delegate_threads=$delegate_threads
rounds=$rounds
memory=$memory
profile=$profile
models=$models
tool=$(basename "$benchmark_model")
tool_path=$benchmark_model
tool_sha256=$tool_sha256
tool_kind=$tool_kind
tool_abi=$tool_abi
libraries=$libraries
libraries_sha256=$libraries_sha256
fixed_performance_mode=$fixed_mode
mask=$mask
big_cores=$big_cores
cores=$core_choice
cooldown_s=$cooldown
time_limit_s=$time_limit
thermal_wait_s=$thermal_wait
num_runs=$num_runs
warmup_runs=$warmup_runs
min_secs=$min_secs
require_full_delegation=$require_full_delegation
device_folder=$folder
left_on_phone=$(printf '%s' "$left_on_phone" | tr -s ' ')
END
    } >"$out/session.txt.new" && mv "$out/session.txt.new" "$out/session.txt"
}

saved() { sed -n "s/^$1=//p" "$out/session.txt" | head -n 1; }

# open_session: --resume. Sets everything from the folder; what must be the same is compared later.
open_session() {
    if [ -z "$out" ]; then
        for file in "$here"/results/*/session.txt; do # the newest is the last: names begin with the date
            [ ! -f "$file" ] || grep -q '^status=complete$' "$file" || out=${file%/session.txt}
        done
        [ -n "$out" ] || refuse "--resume: no unfinished session in $here/results. --resume=DIR names one elsewhere."
    fi
    [ -f "$out/session.txt" ] || refuse "--resume: $out is no session's folder (it has no session.txt)."
    for file in device.txt models.csv runs.csv; do
        [ -s "$out/$file" ] || fail "$out/$file is missing or empty, so this session cannot go on. Start another."
    done
    out=$(absolute "$out")
    lock_session
    say "Going on with $out"
    for key in started_utc finished_utc command tool_kind backends threads delegate_threads rounds memory profile libraries \
        num_runs warmup_runs min_secs require_full_delegation models; do
        eval "$key=\$(saved $key)"
    done
    core_choice=$(saved cores) cooldown=$(saved cooldown_s) folder=$(saved device_folder) threads_given=yes
    fixed_mode=$(saved fixed_performance_mode)
    [ -n "$benchmark_model" ] || benchmark_model=$(saved tool_path)
    [ -n "$time_limit_given" ] || time_limit=$(saved time_limit_s)
    [ -n "$thermal_wait_given" ] || thermal_wait=$(saved thermal_wait_s)
    [ -n "$serial" ] || serial=$(sed -n 's/^serial=//p' "$out/device.txt")
    # It goes into rm -rf on the phone.
    case ${folder#/data/local/tmp/mnext_tf_} in
    "$folder" | '' | *[!A-Za-z0-9_]*) fail "$out/session.txt is damaged: its device_folder is '$folder'." ;;
    esac
    (check_settings) || fail "$out/session.txt is damaged. Put the setting named above right in it, or start another session."
    # What a power cut left of a last line is no run.
    if [ -n "$(tail -c 1 "$out/runs.csv")" ]; then
        sed '$d' "$out/runs.csv" >"$out/runs.csv.new" && mv "$out/runs.csv.new" "$out/runs.csv"
    fi
}

# same_as_before: the phone, the files and the tool are those that the session began with.
same_as_before() {
    before=$(sed -n 's/^serial=//p' "$out/device.txt")
    [ "$before" = "$serial" ] || fail "this session is of the device $before, not of $serial. A session is of one device: \
start another."
    before=$(sed -n 's/^build_fingerprint=//p' "$out/device.txt")
    [ "$before" = "$fingerprint" ] || fail "the phone was updated since this session began (from $before to $fingerprint). \
Its runs cannot be compared with later ones: start another session."
    before=$(saved tool_sha256)
    [ "$before" = "$tool_sha256" ] || fail "$benchmark_model is not the tool that this session began with \
(sha256 $before, now $tool_sha256). Give that one with --benchmark_model, or start another session."
    sed 1d "$out/models.csv" | awk -F, '{ print $(NF - 1) }' >"$work/before"
    cut -f 4 "$work/models" >"$work/after"
    changed=$(paste "$work/before" "$work/after" "$work/models" | awk '$1 != $2' | cut -f 3 | tr '\n' ' ')
    [ -z "$changed" ] || fail "changed since this session began: ${changed% }. Start another session, or put the old files back."
    [ "$(saved libraries_sha256)" = "$libraries_sha256" ] || fail "the --libraries changed since this session began. Start another."
    [ "$(saved mask)" = "$mask" ] || fail "this session's threads were pinned with the mask '$(saved mask)', now '$mask'. \
Start another session."
}

# lock_session: only one program writes into $out.
lock_session() {
    if ! mkdir "$out/.lock" 2>/dev/null; then
        holder=$(cat "$out/.lock/pid" 2>/dev/null)
        [ -z "$holder" ] || ! kill -0 "$holder" 2>/dev/null || fail "another run_adb.sh (process $holder) is at work in $out."
    fi
    echo $$ >"$out/.lock/pid" || fail "$out cannot be written to."
    locked=yes
}

# begin_session: makes the folder of a new session.
begin_session() {
    started_utc=$(now)
    if [ -z "$out" ]; then
        out=$here/results/$(date -u +%Y%m%dT%H%M%SZ)_$(printf '%s' "${product_model:-phone}" | tr -c 'A-Za-z0-9.-' '_')
    fi
    if ! mkdir -p "$out/logs"; then fail "the folder $out cannot be made."; fi
    out=$(absolute "$out")
    lock_session
    if ! write_tables || ! write_session; then fail "$out cannot be written to (is the disk full?)."; fi
    session=open
}

# write_tables: models.csv, device.txt and the header of runs.csv.
write_tables() {
    {
        say model,file,bytes,sha256,sha256_device
        paste "$work/models" "$work/pushed" | while IFS="$tab" read -r model path bytes sha256 sha256_device; do
            printf '%s,%s,%s,%s,%s\n' "$(csv "$model")" "$(csv "$path")" "$bytes" "$sha256" "$sha256_device"
        done
    } >"$out/models.csv" && write_device_file "$out/device.txt" &&
        say "id,kind,round,model,backend,threads,mask,exit,outcome,started_utc,seconds,thermal_before,thermal_after,\
battery_level_before,battery_level_after,battery_temp_before,battery_temp_after,charging,log,command" >"$out/runs.csv"
}
