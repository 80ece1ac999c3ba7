#!/bin/sh
# Benchmarks TFLite models on an Android phone: `benchmarks/run_adb.sh --help`.
# Requires a POSIX shell and adb; besides this file, only the folder adb/ next to it.
set -u
LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd)
tab=$(printf '\t')
# shellcheck source=adb/host.sh
. "$here/adb/host.sh"
# shellcheck source=adb/phone.sh
. "$here/adb/phone.sh"
# shellcheck source=adb/tool.sh
. "$here/adb/tool.sh"
# shellcheck source=adb/session.sh
. "$here/adb/session.sh"
# shellcheck source=adb/lock.sh
. "$here/adb/lock.sh"
# shellcheck source=adb/measure.sh
. "$here/adb/measure.sh"

usage() {
    cat <<END
Usage: benchmarks/run_adb.sh [FLAGS]

Benchmarks TFLite models on an Android phone with benchmark_model, the tool of TensorFlow Lite and LiteRT. Default: the
newest exported models on the only connected device, on the CPU with 1 and 4 threads and on the GPU, 5 rounds.
--flag value and --flag=value are equivalent.

What to measure
  --models A,B          .tflite files. Default: for each network, width, and precision (float32 and int8), the newest
                        export under --runs_root with the input size of the newest export. The number of files left
                        out (other input sizes, other precisions, files that output probabilities for apps) is shown.
  --runs_root DIR       where to look for exported models. Default: runs.
  --backends LIST       any of cpu, gpu, nnapi. Default: cpu,gpu. cpu: XNNPACK. gpu: the GPU delegate with float16
                        arithmetic; int8 models run on it too, computed in floating point. nnapi: deprecated since
                        Android 15. The report reads from the log which backend a run actually used.
  --threads LIST        CPU threads. Default: 1,4, or fewer if the phone has fewer big cores. More threads than pinned
                        cores is an error. gpu and nnapi use threads only for operators that fall back to the CPU, so
                        by default they run with the first number only; an explicit LIST applies to every backend.
  --cores big|all       pins threads to the big cores (all but the slowest cluster; default) or to all cores.
  --rounds N            Default: 5. Each round runs every model once on each backend, interleaving the models; every
                        second round runs in reverse order.
  --memory yes|no       adds one run per model and backend that measures peak memory. Default: yes.
  --profile yes|no      adds one run per model and backend that profiles the operators. Default: yes.
  --require_full_delegation
                        makes gpu and nnapi runs fail unless the delegate takes the entire model. Without it, the
                        remaining operators run on the CPU and the report says gpu_partial.

How to measure
  --serial S            the device's serial number, as listed by adb devices. Default: \$ANDROID_SERIAL, or the only
                        device.
  --benchmark_model P   benchmark_model of TensorFlow Lite or LiteRT, for the phone's ABI.
                        Default: tools/<abi>/benchmark_model next to this script.
  --libraries A.so,B.so shared libraries to push and add to LD_LIBRARY_PATH, such as LiteRT's GPU accelerator. The paths
                        must not contain spaces.
  --num_runs N, --warmup_runs N, --min_secs S
                        passed to benchmark_model: at least N runs and at least S seconds. Default: 50, 1, 1.
  --cooldown S          seconds between runs. Default: 5.
  --thermal_wait S      maximum time to wait before each run for the phone's thermal status to return to 0; after that,
                        the session stops. 0: do not wait. Default: 600.
  --time_limit S        terminates a run that takes longer. Default: 180.
  --out DIR             a new folder for the results. Default: results/<date>_<phone> next to this script.
  --resume[=DIR]        resumes the session in DIR (default: the newest unfinished one) with its original settings. Only
                        --serial, --benchmark_model, --thermal_wait, --time_limit, --adb, and --dry_run may be added.
  --adb PATH            Default: adb.
  --dry_run             lists the runs and estimates their duration, without changing anything on the phone.
  --help                shows this help.

Where to get benchmark_model (for arm64-v8a; for other ABIs, the error message says)
$(where_to_get_it arm64-v8a)

What it does on the phone: creates /data/local/tmp/mnext_tf_<id>, pushes the tool and the models there and verifies
their hashes, enables fixed performance mode (Android 11 or later), runs benchmark_model under taskset, and reads
thermal status and battery before and after each run. On exit, whatever the cause (Ctrl-C, an error, a closed
terminal), it stops what is still running there, disables the mode, and deletes the folder. If the phone is
unreachable, it prints the commands that do so.

Results: session.txt, device.txt, models.csv, runs.csv, and logs/, which python -m pipelines.report --device DIR reads.
After 6 consecutive failures with the same exit code, the session stops. A run that failed twice is skipped until the
session is resumed.
Exit status: 0 all runs succeeded, 1 something failed (results so far are kept), 2 usage error, 130 interrupted.
END
}

flags="--models --runs_root --backends --threads --cores --rounds --memory --profile --require_full_delegation \
--serial --benchmark_model --libraries --num_runs --warmup_runs --min_secs --cooldown --thermal_wait --time_limit \
--out --resume --adb --dry_run --help"
models='' runs_root=runs backends=cpu,gpu threads=1,4 rounds=5 memory=yes profile=yes require_full_delegation=no
serial=${ANDROID_SERIAL-} benchmark_model='' libraries='' num_runs=50 warmup_runs=1 min_secs=1 cooldown=5
thermal_wait=600 time_limit=180 out='' adb=adb
core_choice=big threads_given='' delegate_threads='' thermal_wait_given='' time_limit_given='' resume='' dry_run=''
not_with_resume=''
command="run_adb.sh $*"

while [ $# -gt 0 ]; do
    flag=$1 value='' with_value=''
    shift
    case $flag in --*=*) value=${flag#*=} with_value=yes flag=${flag%%=*} ;; esac
    case $flag in
    -h | --help)
        usage
        exit 0
        ;;
    --require_full_delegation | --dry_run) [ -z "$with_value" ] || refuse "$flag does not take a value." ;;
    --resume)
        case $with_value,${1-} in
        yes,* | , | ,-*) ;;
        *)
            value=$1
            shift
            ;;
        esac
        ;;
    *)
        case " $flags " in *" $flag "*) ;; *) refuse "unknown flag $flag. Flags: $flags" ;; esac
        if [ -z "$with_value" ]; then
            [ $# -gt 0 ] || refuse "$flag requires a value (see --help)."
            value=$1
            shift
        fi
        [ -n "$value" ] || refuse "$flag requires a value (see --help)."
        ;;
    esac
    case $flag in
    --require_full_delegation) require_full_delegation=yes ;;
    --dry_run) dry_run=yes ;;
    --resume) resume=yes out=$value ;;
    --cores) core_choice=$value ;;
    *) eval "${flag#--}=\$value" ;;
    esac
    case $flag in
    --threads) threads_given=yes ;;
    --thermal_wait) thermal_wait_given=yes ;;
    --time_limit) time_limit_given=yes ;;
    esac
    case $flag in
    --serial | --benchmark_model | --thermal_wait | --time_limit | --resume | --adb | --dry_run) ;;
    *) not_with_resume="$not_with_resume $flag" ;;
    esac
done

[ -z "$resume" ] || [ -z "$not_with_resume" ] ||
    refuse "--resume uses the session's original settings; remove$not_with_resume."
check_settings
for library in $(words "$libraries"); do [ -f "$library" ] || refuse "--libraries: file not found: $library"; done
if [ -z "$resume" ] && [ -n "$out" ] && [ -e "$out" ] && { [ ! -d "$out" ] || [ -n "$(ls -A "$out")" ]; }; then
    refuse "--out $out exists and is not empty. Choose a new folder, or resume the session in it with --resume=$out."
fi

reason='' status=running started_utc='' finished_utc='' session='' lock_id='' running='' child='' watchdog=''
left_on_phone='' fixed_mode=unavailable tool_kind='' library_path='' phone_code=''
host_os=$(uname -srm)
work=${TMPDIR:-/tmp}/mnext_tf_adb.$$
(umask 077 && mkdir "$work") || refuse "cannot create the temporary folder $work."

# leave: the exit handler, whatever the cause.
leave() {
    exit_status=$?
    trap '' INT TERM HUP PIPE
    trap - EXIT
    [ -z "$child" ] || kill -9 "$child" 2>/dev/null
    end_watchdog
    if [ -n "$session" ]; then
        [ "$exit_status" -gt 128 ] && reason=${reason:-interrupted}
        # In a subshell: even if the disk is full, the phone must be restored.
        [ -z "$running" ] || (outcome=interrupted && end_run)
    fi
    restore_phone
    if [ -n "$session" ]; then
        [ "$status" != running ] || status=stopped
        write_session
        [ "$status" != stopped ] || say "Stopped; the results so far are in $out. To resume: $0 --resume=$out"
    fi
    [ -z "$lock_id" ] || unlock_session
    rm -rf "$work"
    exit "$exit_status"
}
trap leave EXIT
trap 'reason="interrupted (Ctrl-C)"; exit 130' INT
trap 'reason="interrupted (terminal closed)"; exit 129' HUP
trap 'reason="interrupted (terminated)"; exit 143' TERM
trap 'reason="interrupted (output pipe closed)"; exit 141' PIPE # as by `run_adb.sh | head`

if [ -n "$resume" ]; then
    open_session
elif [ -z "$models" ]; then
    find_models
fi
read_models
find_phone
adb_version=$("$adb" version | tr '\n' ' ' | sed 's/Installed as.*//; s/ *$//')
read_device_info
say "Phone: ${product_model:-$serial}, Android $(property ro.build.version.release), $abi, $cores cores (kHz: $khz)"
find_tool
choose_cores
[ -z "$mask" ] || say "Threads are pinned to cores $big_cores (mask $mask)."
choose_threads
choose_delegate_threads
make_plan
if [ -n "$resume" ]; then
    check_unchanged
    list_pending
else
    folder=/data/local/tmp/mnext_tf_$(date -u +%Y%m%dT%H%M%SZ)_$$
    cp "$work/plan" "$work/pending"
fi
say "$(wc -l <"$work/pending" | tr -d ' ') runs: $(wc -l <"$work/models" | tr -d ' ') models, backends $backends, \
threads $threads$threads_note, $rounds rounds."
estimate
if [ -n "$dry_run" ]; then
    tr '|' '\t' <"$work/pending"
    exit 0
fi
if [ -n "$resume" ]; then
    session=open left_on_phone=$(saved left_on_phone)
    restore_phone
fi
if [ -s "$work/pending" ]; then
    finished_utc=
    [ -z "$libraries" ] || library_path="env LD_LIBRARY_PATH=$folder "
    push_files
    identify_tool
    [ -n "$resume" ] || begin_session
    set_fixed_performance
    say "Fixed performance mode: $fixed_mode. Results: $out"
    write_session || fail "cannot write $out/session.txt (is the disk full?)."
    measure_all
fi
list_pending
[ -n "$finished_utc" ] || finished_utc=$(now)
missing=$(wc -l <"$work/pending" | tr -d ' ')
if [ "$missing" -eq 0 ]; then
    status=complete reason=
else
    status=failed
    reason="$missing of $(wc -l <"$work/plan" | tr -d ' ') runs failed or were skipped$(describe_pending)"
    say "$reason. To retry them: $0 --resume=$out"
fi
say "Results: $out"
say "To make the report: python -m pipelines.report --device $out"
[ "$missing" -eq 0 ]
