# shellcheck shell=sh disable=SC2034,SC2154 # the variables are those of run_adb.sh, which sources this file
# The session: its models, the order of its runs, its folder, and how to resume it.

# find_models: sets models to a comma-separated list of the newest exported files.
find_models() {
    [ -d "$runs_root" ] || fail "--runs_root: folder not found: $runs_root. List the models (--models a.tflite,b.tflite), or \
export one: python -m pipelines.export_tflite --quantize int8 (for an untrained model, add --init=random)."
    find "$runs_root" -type f -name '*.tflite' ! -path '*/.*/*' -exec ls -t {} + >"$work/exported" 2>/dev/null
    # FOLDER/NAME_SIZE_PRECISION.tflite, newest first; the newest file determines the size. Sorted by precision.
    : >"$work/left_out"
    awk -F/ -v left_out="$work/left_out" '
        { name = $NF; folder = $(NF - 1) }
        name ~ /_probabilities\.tflite$/ { probabilities += !left[name]++; next }
        folder !~ /^tflite_(float32|int8)$/ || !match(name, /_[0-9]+_(float32|int8)\.tflite$/) {
          precisions += !left[name]++; next }
        { split(substr(name, RSTART + 1), part, "_"); network = substr(name, 1, RSTART - 1) " " part[2]
          if (!size) size = part[1]
          if (part[1] != size) sizes += !left[name]++
          else if (!seen[network]++) print part[2] "\t" name "\t" $0 }
        END { if (sizes) list = ", " sizes " of other input sizes"
              if (precisions) list = list ", " precisions " of other precisions"
              if (probabilities) list = list ", " probabilities " that output probabilities (for apps)"
              print substr(list, 3) >left_out }' "$work/exported" | sort | cut -f 3 >"$work/chosen"
    models=$(tr '\n' ',' <"$work/chosen" | sed 's/,$//')
    [ -n "$models" ] || fail "no exported models (tflite_float32/*.tflite, tflite_int8/*.tflite) in $runs_root. Export one: \
python -m pipelines.export_tflite --quantize int8 (for an untrained model, add --init=random); or list files: --models \
a.tflite,b.tflite."
    say "The newest exported models in $runs_root:"
    sed 's/^/  /' "$work/chosen"
    left_out=$(cat "$work/left_out")
    [ -z "$left_out" ] || say "Not included: $left_out. To choose files, use --models."
}

# read_models: checks the files of $models and writes a line for each to $work/models: name, path, bytes, sha256 (TSV).
read_models() {
    : >"$work/models"
    printf '%s\n' "$models" | tr ',' '\n' >"$work/named"
    while IFS= read -r path; do
        [ -f "$path" ] || fail "--models: file not found: $path"
        model=$(basename "$path" .tflite)
        case $model in '' | -* | *[!A-Za-z0-9._+\ -]*) fail "--models: rename $path; a file name may contain letters, \
digits, spaces, and . _ + -" ;; esac
        [ "$(bytes_at "$path" 4 4)" = 54464c33 ] || fail "--models: $path is not a TFLite file."
        # On the phone, spaces in names become underscores.
        ! cut -f 1 "$work/models" | tr ' ' '_' | grep -q -x -F -e "$(printf '%s' "$model" | tr ' ' '_')" ||
            fail "--models: two files are named $model.tflite, or differ only in spaces and underscores. Rename one."
        printf '%s\t%s\t%s\t%s\n' "$model" "$(absolute "$path")" "$(bytes_of "$path")" "$(host_hash "$path")" >>"$work/models"
    done <"$work/named"
    models=$(cut -f 2 "$work/models" | tr '\n' ',' | sed 's/,$//')
}

on_phone_name() { printf '%s.tflite' "$1" | tr ' ' '_'; }

# make_plan: writes a line kind|round|model|backend|threads per run to $work/plan; even rounds run in reverse order.
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

# list_pending: writes the lines of the plan that have no successful run to $work/pending.
list_pending() {
    awk -F, '$9 == "done" { print $2 "|" $3 "|" $4 "|" $5 "|" $6 } END { print "-" }' "$out/runs.csv" >"$work/done"
    grep -v -x -F -f "$work/done" "$work/plan" >"$work/pending"
}

# describe_pending: the first three combinations in $work/pending, for a message; rounds of the same one count once.
describe_pending() {
    cut -d '|' -f 1,3- "$work/pending" | awk '!seen[$0]++ && ++n <= 3 { list = list (n > 1 ? "; " : "") $0 }
        END { gsub(/[|]/, " ", list); print (n > 3 ? ", first: " : ": ") list (n > 3 ? ", and " n - 3 " more" : "") }'
}

# write_session: an atomic write of session.txt.
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

# open_session: for --resume. Locks the folder and loads its settings; check_unchanged compares the rest later.
open_session() {
    if [ -z "$out" ]; then
        for file in "$here"/results/*/session.txt; do # names begin with the date, so the last is the newest
            [ ! -f "$file" ] || grep -q '^status=complete$' "$file" || out=${file%/session.txt}
        done
        [ -n "$out" ] || refuse "--resume: no unfinished session in $here/results. For another folder: --resume=DIR."
    fi
    [ -f "$out/session.txt" ] || refuse "--resume: $out is not a session folder (no session.txt)."
    for file in device.txt models.csv runs.csv; do
        [ -s "$out/$file" ] || fail "$out/$file is missing or empty, so the session cannot be resumed. Start a new one."
    done
    out=$(absolute "$out")
    lock_session
    say "Resuming $out"
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
    # It becomes an argument of rm -rf on the phone.
    case ${folder#/data/local/tmp/mnext_tf_} in
    "$folder" | '' | *[!A-Za-z0-9_]*) fail "$out/session.txt is corrupt: device_folder is '$folder'." ;;
    esac
    (check_settings) || fail "$out/session.txt is corrupt. Correct the setting named above, or start a new session."
    check_settings # this time not in a subshell, for what it sets
    # After a power failure, the last line may be incomplete.
    if [ -n "$(tail -c 1 "$out/runs.csv")" ]; then
        sed '$d' "$out/runs.csv" >"$out/runs.csv.new" && mv "$out/runs.csv.new" "$out/runs.csv"
    fi
}

# check_unchanged: fails unless the phone, the models, and the tool are those that the session started with.
check_unchanged() {
    before=$(sed -n 's/^serial=//p' "$out/device.txt")
    [ "$before" = "$serial" ] || fail "this session was started on the device $before, not on $serial. Start a new session for \
another device."
    before=$(sed -n 's/^build_fingerprint=//p' "$out/device.txt")
    [ "$before" = "$fingerprint" ] || fail "the phone was updated after this session was started (from $before to \
$fingerprint), so old and new runs are not comparable. Start a new session."
    before=$(saved tool_sha256)
    [ "$before" = "$tool_sha256" ] || fail "$benchmark_model is not the tool that this session was started with \
(sha256 $before, now $tool_sha256). Give the original with --benchmark_model, or start a new session."
    sed 1d "$out/models.csv" | awk -F, '{ print $(NF - 1) }' >"$work/before"
    cut -f 4 "$work/models" >"$work/after"
    changed=$(paste "$work/before" "$work/after" "$work/models" | awk '$1 != $2' | cut -f 3 | tr '\n' ' ')
    [ -z "$changed" ] ||
        fail "models changed since this session was started: ${changed% }. Restore the files, or start a new session."
    [ "$(saved libraries_sha256)" = "$libraries_sha256" ] ||
        fail "the --libraries changed since this session was started. Start a new session."
    [ "$(saved mask)" = "$mask" ] || fail "the CPU affinity mask changed from '$(saved mask)' to '$mask' since this session was \
started. Start a new session."
}

# begin_session: creates the folder of a new session.
begin_session() {
    started_utc=$(now)
    if [ -z "$out" ]; then
        out=$here/results/$(date -u +%Y%m%dT%H%M%SZ)_$(printf '%s' "${product_model:-phone}" | tr -c 'A-Za-z0-9.-' '_')
    fi
    if ! mkdir -p "$out/logs"; then fail "cannot create the folder $out."; fi
    out=$(absolute "$out")
    lock_session
    [ ! -e "$out/session.txt" ] || fail "$out already contains a session, started in the meantime. Choose another --out."
    if ! write_tables || ! write_session; then fail "cannot write to $out (is the disk full?)."; fi
    session=open
}

# write_tables: models.csv, device.txt, and the header of runs.csv.
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
