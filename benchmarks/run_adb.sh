#!/bin/sh
# Times TFLite models on an Android phone: `benchmarks/run_adb.sh --help`.
# POSIX shell and adb; this file and the folder adb/ beside it are all that it needs.
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
# shellcheck source=adb/measure.sh
. "$here/adb/measure.sh"

usage() {
    cat <<END
Usage: benchmarks/run_adb.sh [FLAGS]

Times TFLite models on an Android phone with its publishers' benchmark_model. Without flags: the newest exported
models, the one connected device, CPU with 1 and 4 threads, GPU, 5 rounds. --flag value and --flag=value are the same.

What to measure
  --models A,B          .tflite files. Default: for each network, width and kind among float32 and int8, the newest
                        export under --runs_root of the input size of the newest one. What is left out (other input
                        sizes, other kinds, files with probabilities, which are for apps) is counted at the start.
  --runs_root DIR       where those are looked for. Default: runs.
  --backends LIST       of cpu, gpu, nnapi. Default: cpu,gpu. cpu is XNNPACK; gpu the GPU delegate in half precision.
                        int8 files run on the GPU too: its delegate computes them in floating point. NNAPI is
                        deprecated since Android 15. What a run really ran on is read from its log by the report.
  --threads LIST        Default: 1,4, less where the phone has fewer big cores. More than the cores that the threads
                        are pinned to is refused. On gpu and nnapi they serve the operators left to the CPU
                        only: without this flag those run with the first number alone; given, LIST is for all.
  --cores big|all       pins threads to the big cores (all that are faster than the slowest kind; default), or to all.
  --rounds N            Default: 5. Every round runs each model on each backend once, models next to each other;
                        every second round goes backwards.
  --memory yes|no       one more run of each model and backend for peak memory. Default: yes.
  --profile yes|no      one more run of each model and backend for the time of each operator. Default: yes.
  --require_full_delegation
                        gpu and nnapi runs fail where the delegate does not take the whole model. Without it the
                        rest runs on the CPU, and the report says gpu_partial.

How
  --serial S            the device, as adb devices shows it. Default: \$ANDROID_SERIAL, else the only one.
  --benchmark_model P   TensorFlow Lite's or LiteRT's benchmark_model for the phone's ABI.
                        Default: tools/<abi>/benchmark_model beside this script.
  --libraries A.so,B.so pushed beside it and put on LD_LIBRARY_PATH (LiteRT's GPU accelerator, for one); no
                        spaces in the paths.
  --num_runs N, --warmup_runs N, --min_secs S
                        of benchmark_model. Default: 50, 1, 1 (at least so many runs, and at least so long).
  --cooldown S          seconds between runs. Default: 5.
  --thermal_wait S      before each run, waits so long at most until the phone's thermal status is 0; then the session
                        stops. 0: does not wait. Default: 600.
  --time_limit S        a run that takes longer is ended, on the phone too. Default: 180.
  --out DIR             a new folder for the results. Default: results/<date>_<phone> beside this script.
  --resume[=DIR]        goes on with the session in DIR (default: the newest unfinished one), with its own settings;
                        of the flags above only --serial, --benchmark_model, --thermal_wait and --time_limit go with it.
  --adb PATH            Default: adb.
  --dry_run             says what would be run and about how long it takes, and changes nothing on the phone.
  --help                this.

Where benchmark_model comes from (for arm64-v8a; others are listed when needed)
$(where_to_get_it arm64-v8a)

What it does on the phone: makes /data/local/tmp/mnext_tf_<id>, copies the tool and the models into it and compares
their hashes, switches fixed performance mode on (Android 11 and later), runs benchmark_model through taskset, reads
thermal status and battery before and after each run. However it ends (Ctrl-C, an error, a lost terminal), it ends
what still runs there, switches the mode off and removes the folder; where the phone is unplugged, it says what is left.

The results (session.txt, device.txt, models.csv, runs.csv, logs/) are read by python -m pipelines.report --device DIR.
Where the tool fails alike in 6 runs in a row, the session stops. A run that failed twice is left out until --resume.
Exit status: 0 every run succeeded, 1 something failed (the results so far are kept), 2 wrong flags, 130 interrupted.
END
}

flags="--models --runs_root --backends --threads --cores --rounds --memory --profile --require_full_delegation --serial \
--benchmark_model --libraries --num_runs --warmup_runs --min_secs --cooldown --thermal_wait --time_limit --out --resume --adb \
--dry_run --help"
models='' runs_root=runs backends=cpu,gpu threads=1,4 rounds=5 memory=yes profile=yes require_full_delegation=no
serial=${ANDROID_SERIAL-} benchmark_model='' libraries='' num_runs=50 warmup_runs=1 min_secs=1 cooldown=5
thermal_wait=600 time_limit=180 out='' adb=adb
core_choice=big threads_given='' delegate_threads='' thermal_wait_given='' time_limit_given='' resume='' dry_run='' not_with_resume=''
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
    --require_full_delegation | --dry_run) [ -z "$with_value" ] || refuse "$flag takes no value." ;;
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
        case " $flags " in *" $flag "*) ;; *) refuse "there is no flag $flag. There are: $flags" ;; esac
        if [ -z "$with_value" ]; then
            [ $# -gt 0 ] || refuse "$flag needs a value (--help says which)."
            value=$1
            shift
        fi
        [ -n "$value" ] || refuse "$flag needs a value (--help says which)."
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
    refuse "--resume goes on with the session's own settings: leave out$not_with_resume."
check_settings
for library in $(words "$libraries"); do [ -f "$library" ] || refuse "--libraries: there is no file $library."; done
if [ -z "$resume" ] && [ -n "$out" ] && [ -e "$out" ] && { [ ! -d "$out" ] || [ -n "$(ls -A "$out")" ]; }; then
    refuse "--out $out exists and is not empty. Name a new folder; --resume=$out goes on with a session."
fi

reason='' status=running started_utc='' finished_utc='' session='' locked='' running='' child='' watchdog=''
left_on_phone='' fixed_mode=unavailable tool_kind='' library_path='' phone_code=''
host_os=$(uname -srm)
work=${TMPDIR:-/tmp}/mnext_tf_adb.$$
(umask 077 && mkdir "$work") || refuse "no folder for temporary files can be made ($work)."

# leave: whatever ends the program ends here.
leave() {
    exit_status=$?
    trap '' INT TERM HUP PIPE
    trap - EXIT
    [ -z "$child" ] || kill -9 "$child" 2>/dev/null
    end_watchdog
    if [ -n "$session" ]; then
        [ "$exit_status" -gt 128 ] && reason=${reason:-interrupted}
        # In a subshell: a full disk must not keep the phone from being put back.
        [ -z "$running" ] || (outcome=interrupted && end_run)
    fi
    tidy_phone
    if [ -n "$session" ]; then
        [ "$status" != running ] || status=stopped
        write_session
        [ "$status" != stopped ] || say "Stopped; what was measured is kept in $out. Continue: $0 --resume=$out"
    fi
    [ -z "$locked" ] || rm -rf "$out/.lock"
    rm -rf "$work"
    exit "$exit_status"
}
trap leave EXIT
trap 'reason="interrupted (Ctrl-C)"; exit 130' INT
trap 'reason="interrupted (terminal closed)"; exit 129' HUP
trap 'reason="interrupted (terminated)"; exit 143' TERM
trap 'reason="interrupted (nobody reads what it prints)"; exit 141' PIPE # as of `run_adb.sh | head`

if [ -n "$resume" ]; then
    open_session
elif [ -z "$models" ]; then
    find_models
fi
read_models
find_phone
adb_version=$("$adb" version | tr '\n' ' ' | sed 's/Installed as.*//; s/ *$//')
ask_phone
say "Phone: ${product_model:-$serial}, Android $(fact ro.build.version.release), $abi, $cores cores (kHz: $khz)"
find_tool
choose_cores
[ -z "$mask" ] || say "Pinned to the cores $big_cores (mask $mask)."
choose_threads
choose_delegate_threads
make_plan
if [ -n "$resume" ]; then
    same_as_before
    still_to_do
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
    tidy_phone
fi
if [ -s "$work/pending" ]; then
    finished_utc=
    [ -z "$libraries" ] || library_path="env LD_LIBRARY_PATH=$folder "
    push_all
    know_tool
    [ -n "$resume" ] || begin_session
    set_fixed_performance
    say "Fixed performance mode: $fixed_mode. Results: $out"
    write_session || fail "$out/session.txt cannot be written (is the disk full?)."
    measure_all
fi
still_to_do
[ -n "$finished_utc" ] || finished_utc=$(now)
missing=$(wc -l <"$work/pending" | tr -d ' ')
if [ "$missing" -eq 0 ]; then
    status=complete reason=
else
    status=failed
    reason="$missing of $(wc -l <"$work/plan" | tr -d ' ') runs failed or were left out$(first_pending)"
    say "$reason" "--resume=$out tries them again."
fi
say "Results: $out"
say "The report: python -m pipelines.report --device $out"
[ "$missing" -eq 0 ]
