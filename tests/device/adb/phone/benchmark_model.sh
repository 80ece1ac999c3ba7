#!/bin/sh
# Prints what benchmark_model of TensorFlow Lite or LiteRT prints, without delay. Lines MODEL BACKEND OUTCOME (* matches
# anything) in $FAKE_PHONE/benchmark select other outcomes: hang, fail, partial, refused, crash, or silent.
kind=$(cat "$FAKE_PHONE/tool" 2>/dev/null || echo tflite)
known="graph num_threads num_runs warmup_runs min_secs report_peak_memory_footprint use_gpu require_full_delegation"
case $kind in
litert) known="$known use_cpu use_npu use_profiler" ;;
*) known="$known use_xnnpack use_nnapi gpu_precision_loss_allowed enable_op_profiling" ;;
esac
[ ! -e "$FAKE_PHONE/unknown_flag" ] || known=$(echo "$known" | sed "s/ $(cat "$FAKE_PHONE/unknown_flag")//")
backend=cpu graph='' peak='' profile='' full='' cpu=true unconsumed=''
for argument in "$@"; do
    name=${argument#--} value=${argument#*=}
    name=${name%%=*}
    case "$name" in help)
        echo "usage: benchmark_model"
        echo "Flags:"
        for flag in $known; do printf '\t--%s=\n' "$flag"; done
        exit 1
        ;;
    esac
    case " $known " in *" $name "*) ;; *) unconsumed="$unconsumed $argument" ;; esac
    case $name=$value in
    graph=*) graph=$value ;;
    use_gpu=true) backend=gpu ;;
    use_nnapi=true) backend=nnapi ;;
    use_cpu=false) cpu=false ;;
    require_full_delegation=true) full=yes ;;
    report_peak_memory_footprint=true) peak=yes ;;
    enable_op_profiling=true | use_profiler=true) profile=yes ;;
    esac
done
[ -f "$graph" ] || { echo "ERROR: Could not open '$graph'." >&2 && exit 1; }
model=$(basename "$graph" .tflite)
outcome=$(awk -v model="$model" -v backend="$backend" '($1 == "*" || $1 == model) && ($2 == "*" || $2 == backend) { print $3; exit }' \
    "$FAKE_PHONE/benchmark" 2>/dev/null)
echo "$@" >>"$FAKE_PHONE/calls"
echo "INFO: STARTING!"
[ -z "$unconsumed" ] || echo "WARN: Unconsumed cmdline flags:$unconsumed" >&2
echo "INFO: Loaded model $graph"
case $outcome in
hang) while :; do sleep 1; done ;;
crash) kill -SEGV $$ ;;
silent) exit 0 ;;
fail)
    echo "ERROR: Failed to allocate tensors!" >&2
    echo "ERROR: Benchmarking failed." >&2
    exit 1
    ;;
esac
[ -z "$full" ] || [ "$kind" != litert ] || [ "$cpu" = false ] ||
    { echo "ERROR: Requesting full delegation and CPU acceleration are incompatible." >&2 && exit 134; }
case $backend,$outcome in
gpu,partial)
    [ -z "$full" ] || { echo "ERROR: Failed to apply GPU delegate." >&2 && echo "ERROR: Benchmarking failed." >&2 && exit 1; }
    echo "Replacing 60 out of 64 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions for the whole graph."
    echo "INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 1 delegate kernels."
    ;;
gpu,refused) echo "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate." ;;
gpu,*)
    echo "Replacing 64 out of 64 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions for the whole graph."
    echo "INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate."
    ;;
*) echo "Replacing 64 out of 64 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions for the whole graph." ;;
esac
echo "INFO: The input model file size (MB): 13.9"
echo "INFO: count=20 first=14012 curr=12313 min=12278 max=14012 avg=12451.2 std=371"
echo "INFO: count=81 first=12337 curr=12290 min=12212 max=12911 avg=12341.5 std=93 p5=12241 median=12322 p95=12498"
echo "INFO: Inference timings in us: Init: 23702, First inference: 14012, Warmup (avg): 12451.2, Inference (avg): 12341.5"
echo "INFO: Memory footprint delta from the start of the tool (MB): init=11.2 overall=27.4"
[ -z "$peak" ] || echo "INFO: Overall peak memory footprint (MB) via periodic monitoring: 31.6"
[ -z "$profile" ] || printf '%s\n' "INFO: Operator-wise Profiling Info for Regular Benchmark Runs:" "CONV_2D 1.2 0.9 3.1%" \
    "Timings (microseconds): count=81 first=99000 curr=99000 min=99000 max=99000 avg=99000 std=0" "Memory (bytes): count=0"
[ "$kind" != litert ] || printf '%s\n' "INFO: [benchmark_litert_model.h:71] Model initialization: 23.7 ms" \
    "INFO: [benchmark_litert_model.h:79] Inference (avg): 12.34 ms (81 runs)" >&2
