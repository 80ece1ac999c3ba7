# shellcheck shell=sh disable=SC2034,SC2154 # the variables are those of run_adb.sh, which sources this file
# benchmark_model: where to download it, whether it runs on this phone, which project it is from, its flags.

TFLITE_TOOL=https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest
LITERT_TOOL=https://storage.googleapis.com/litert/binaries/latest

# where_to_get_it ABI
where_to_get_it() {
    case $1 in
    arm64-v8a)
        say "  TensorFlow Lite, nightly: $TFLITE_TOOL/android_aarch64_benchmark_model"
        say "  LiteRT 2, nightly:        $LITERT_TOOL/android_arm64/benchmark_model"
        ;;
    armeabi-v7a) say "  TensorFlow Lite, nightly: $TFLITE_TOOL/android_arm_benchmark_model" ;;
    *) say "  no prebuilt binary for $1: bazel build -c opt --config=android_<abi> //tensorflow/lite/tools/benchmark:benchmark_model" ;;
    esac
    say "  Documentation: https://ai.google.dev/edge/litert/models/measurement (TensorFlow Lite) and"
    say "  https://ai.google.dev/edge/litert/next/benchmark (LiteRT). Save it as"
    say "  $here/tools/$1/benchmark_model, or give its path: --benchmark_model PATH."
}

# find_tool: sets benchmark_model, tool_abi, tool_sha256, and libraries_sha256; fails unless the file runs on this phone.
find_tool() {
    if [ -z "$benchmark_model" ]; then
        benchmark_model=$here/tools/$abi/benchmark_model
        [ -f "$benchmark_model" ] || fail "no benchmark_model for this phone's ABI, $abi. To download it:
$(where_to_get_it "$abi")"
    fi
    [ -f "$benchmark_model" ] || fail "--benchmark_model: file not found: $benchmark_model"
    benchmark_model=$(absolute "$benchmark_model")
    case $(bytes_at "$benchmark_model" 0 4) in
    7f454c46) ;;
    504b*) fail "$benchmark_model is an archive or an app (.zip, .apk). Use the command-line binary instead:
$(where_to_get_it "$abi")" ;;
    1f8b*) fail "$benchmark_model is a gzip archive: decompress it first." ;;
    3c*) fail "$benchmark_model is a web page, not a binary: the download failed. Try again (curl -L -o benchmark_model URL):
$(where_to_get_it "$abi")" ;;
    *) fail "$benchmark_model is not an Android binary (no ELF header). Download it again:
$(where_to_get_it "$abi")" ;;
    esac
    case $(bytes_at "$benchmark_model" 18 2) in
    b700) tool_abi=arm64-v8a ;;
    2800) tool_abi=armeabi-v7a ;;
    3e00) tool_abi=x86_64 ;;
    0300) tool_abi=x86 ;;
    *) tool_abi="another architecture (ELF machine $(bytes_at "$benchmark_model" 18 2))" ;;
    esac
    case ",$abi,$abis," in *",$tool_abi,"*) ;; *) fail "$benchmark_model is for $tool_abi; this phone runs $abi. To download another:
$(where_to_get_it "$abi")" ;;
    esac
    [ "$tool_abi" = "$abi" ] || say "benchmark_model is for $tool_abi; one for the phone's primary ABI, $abi, would be faster."
    if dd if="$benchmark_model" bs=8192 count=1 2>/dev/null | tr -c '[:print:]' '\n' | grep -q -E '^/lib.*/ld-(linux|musl)'; then
        fail "$benchmark_model is for Linux, not for Android. To download another:
$(where_to_get_it "$abi")"
    fi
    tool_sha256=$(host_hash "$benchmark_model")
    libraries_sha256=$(for library in $(words "$libraries"); do host_hash "$library"; done | tr '\n' ',' | sed 's/,$//')
}

# identify_tool: from its --help on the phone; sets tool_kind.
identify_tool() {
    on_phone 60 "${library_path}$folder/benchmark_model --help"
    case $answer in
    *--use_npu* | *--use_cpu*) tool_kind=litert ;;
    *--use_xnnpack* | *--use_nnapi*) tool_kind=tflite ;;
    *graph*) # a build without the list of flags
        if tr -c '[:print:]' '\n' <"$benchmark_model" | grep -q dispatch_library_path; then tool_kind=litert; else tool_kind=tflite; fi
        ;;
    *) fail "$benchmark_model is not benchmark_model; with --help it prints on the phone: $(
        printf '%s\n' "$answer" | sed '/^ *$/d' | head -n 3 | tr '\n' ' '
    )" ;;
    esac
    case $tool_kind,$backends in litert,*nnapi*) fail "LiteRT's benchmark_model does not support NNAPI: remove nnapi from \
--backends, or use TensorFlow Lite's benchmark_model." ;; esac
    say "benchmark_model: $tool_kind, $tool_abi, sha256 $tool_sha256"
}

# tool_flags KIND BACKEND THREADS: all flags except --graph. KIND is latency, memory, or profile.
tool_flags() {
    printf '%s' "--num_threads=$3 --num_runs=$num_runs --warmup_runs=$warmup_runs --min_secs=$min_secs"
    case $tool_kind,$2 in
    tflite,cpu) printf ' --use_xnnpack=true' ;;
    tflite,gpu) printf ' --use_gpu=true --gpu_precision_loss_allowed=true' ;;
    tflite,nnapi) printf ' --use_nnapi=true' ;;
    litert,cpu) printf ' --use_cpu=true --use_gpu=false' ;;
    litert,gpu) printf ' --use_gpu=true' ;;
    esac
    case $require_full_delegation,$tool_kind,$2 in
    yes,*,cpu) ;;
    yes,tflite,*) printf ' --require_full_delegation=true' ;;
    yes,litert,*) printf ' --use_cpu=false --require_full_delegation=true' ;; # rejected if the CPU is allowed
    esac
    case $1,$tool_kind in
    memory,*) printf ' --report_peak_memory_footprint=true' ;;
    profile,tflite) printf ' --enable_op_profiling=true' ;;
    profile,litert) printf ' --use_profiler=true' ;;
    esac
}

# average_ms LOG: average latency with its unit, or nothing if the log has none. The averages in the tables of a profile
# ("Timings (microseconds): count=...") do not count.
average_ms() {
    tr -d '\r' <"$1" | awk '
        /Timings \(microseconds\)/ { next }
        /count=.*avg=/ || /count=.*curr=/ { n = split($0, part, /[ =]+/); for (i = 1; i < n; i++)
                                            if (part[i] == "avg" || (part[i] == "curr" && !/avg=/)) us = part[i + 1] }
        /Inference \(avg\): *[0-9]/ { value = $0; sub(/.*Inference \(avg\): */, "", value)
                                      us = value + 0; if (value ~ /^[^ ]* *ms/) us *= 1000 }
        END { if (us != "") printf "%.2f ms", us / 1000 }'
}

# delegation_note LOG: for the terminal, if a delegate did not take the entire model. The report parses the log itself.
delegation_note() {
    if grep -q -E 'will not be executed by the delegate|Failed to apply|Falling back to' "$1"; then say ", NOT on the delegate (see the log)"
    elif grep -q 'partially executed by the delegate' "$1"; then say ", partly on the CPU"; fi
}
