# shellcheck shell=sh disable=SC2034,SC2154 # its variables are those of run_adb.sh, which reads it
# The phone: which one, what it is, its shell, its temperature, its performance mode, its folder.

# on_phone SECONDS COMMAND: COMMAND's exit status on the phone, its output in $answer (errors too).
# 255: the connection broke. The status comes as text, because adb and Android before 7 do not pass it on.
answer_file=answer
on_phone() {
    phone_code=''
    bounded "$1" "$work/$answer_file" "$adb" -s "$serial" shell "exec 2>&1; ( $2
); code=\$?; echo; echo MNEXT_RC=\$code"
    [ $? -ne 124 ] || {
        answer="no answer within $1 s"
        return 124
    }
    phone_code=$(tr -d '\r' <"$work/$answer_file" | sed -n '$s/^MNEXT_RC=\([0-9][0-9]*\)$/\1/p')
    answer=$(tr -d '\r' <"$work/$answer_file" | sed '$d')
    [ -n "$phone_code" ] || {
        answer=$(one_line "$work/$answer_file")
        return 255
    }
    return "$phone_code"
}

phone_is_there() {
    bounded 10 "$work/state" "$adb" -s "$serial" get-state
    [ "$(tr -d '\r' <"$work/state" | head -n 1)" = device ]
}

mend() {
    case $1 in
    unauthorized) say "has not allowed this computer: unlock it and answer 'Allow USB debugging?'. No question there? \
Unplug, choose Developer options > Revoke USB debugging authorisations, plug in again." ;;
    offline) say "is offline: unplug it and plug it in again (over Wi-Fi: adb disconnect, then adb connect again); \
if that does not help: adb kill-server, or restart the phone." ;;
    no) say "may not be opened by you (no permissions): on Linux install android-sdk-platform-tools-common or other \
udev rules, join the group plugdev, log in again and plug the phone in again." ;;
    authorizing | connecting) say "is still connecting: try again in some seconds." ;;
    *) say "is in the state '$1', not 'device': start Android on it, with USB debugging on." ;;
    esac
}

# find_phone: sets $serial, or says why there is none.
find_phone() {
    command -v "$adb" >/dev/null || fail "there is no adb ($adb). Install it (Debian and Ubuntu: apt install adb; macOS: \
brew install android-platform-tools; others: https://developer.android.com/tools/releases/platform-tools), or name it: \
--adb PATH."
    bounded 30 "$work/devices" "$adb" devices -l || fail "adb devices failed: $(one_line "$work/devices")"
    tr -d '\r' <"$work/devices" | sed -e '/^\* /d' -e '/^List of devices/d' -e '/^[[:space:]]*$/d' -e '/^adb /d' >"$work/list"
    if [ -n "$serial" ]; then
        state=$(awk -v serial="$serial" '$1 == serial { print $2; exit }' "$work/list")
        [ -n "$state" ] || fail "no device $serial is connected. $(list_phones)"
    else
        case $(wc -l <"$work/list" | tr -d ' ') in
        0) fail "no device is connected. Plug the phone in (a cable that carries data), switch on Developer options > \
USB debugging, and answer the phone's question; over Wi-Fi: adb connect IP:PORT. Then adb devices shows it." ;;
        1)
            serial=$(awk '{ print $1 }' "$work/list")
            state=$(awk '{ print $2 }' "$work/list")
            ;;
        *) fail "more than one device is connected: say which with --serial. $(list_phones)" ;;
        esac
    fi
    [ "$state" = device ] || fail "the device $serial $(mend "$state")"
    phone_is_there || fail "the device $serial does not answer: $(one_line "$work/state")"
}

# list_phones: every connected device with its model.
list_phones() {
    [ -s "$work/list" ] || say "None is."
    [ ! -s "$work/list" ] || say "Connected are:"
    while read -r listed state rest; do
        model_name=$(printf '%s\n' "$rest" | sed -n 's/.*model:\([^ ]*\).*/\1/p')
        if [ -z "$model_name" ] && [ "$state" = device ]; then
            bounded 10 "$work/name" "$adb" -s "$listed" shell getprop ro.product.model
            model_name=$(tr -d '\r' <"$work/name" | head -n 1)
        fi
        say "  --serial $listed  ($state${model_name:+, $model_name})"
    done <"$work/list"
}

# ask_phone: reads what the phone is into $work/facts and the variables abi, sdk, cores, khz, product_model, ...
ask_phone() {
    # shellcheck disable=SC2016 # for the phone's shell
    on_phone 30 'for p in ro.product.manufacturer ro.product.model ro.product.name ro.product.device ro.soc.manufacturer \
ro.soc.model ro.board.platform ro.hardware ro.build.version.release ro.build.version.sdk ro.build.fingerprint \
ro.product.cpu.abi ro.product.cpu.abilist; do echo "$p=$(getprop $p)"; done
for c in /sys/devices/system/cpu/cpu[0-9]*; do echo "core=${c##*/cpu} $(cat $c/cpufreq/cpuinfo_max_freq 2>/dev/null)"; done
cat /proc/meminfo' || fail "the device $serial does not answer its shell: $answer"
    printf '%s\n' "$answer" >"$work/facts"
    abi=$(fact ro.product.cpu.abi)
    abis=$(fact ro.product.cpu.abilist)
    sdk=$(fact ro.build.version.sdk)
    product_model=$(fact ro.product.model)
    fingerprint=$(fact ro.build.fingerprint)
    sed -n 's/^core=\([0-9][0-9]* .*\)/\1/p' "$work/facts" | sort -n >"$work/cores"
    cores=$(wc -l <"$work/cores" | tr -d ' ')
    khz=$(awk '{ printf "%s%s", (NR > 1 ? "," : ""), $2 }' "$work/cores")
    [ -n "$abi" ] || fail "the device $serial does not say which ABI it has (getprop ro.product.cpu.abi is empty)."
}

fact() { sed -n "s/^$1=//p" "$work/facts" | head -n 1; }

write_device_file() {
    {
        say "serial=$serial"
        for pair in manufacturer:ro.product.manufacturer model:ro.product.model product:ro.product.name \
            device:ro.product.device soc_manufacturer:ro.soc.manufacturer soc_model:ro.soc.model \
            board_platform:ro.board.platform hardware:ro.hardware android_release:ro.build.version.release \
            sdk:ro.build.version.sdk build_fingerprint:ro.build.fingerprint abi:ro.product.cpu.abi; do
            say "${pair%%:*}=$(fact "${pair#*:}")"
        done
        say "cores=$cores"
        say "cpu_max_khz=$khz"
        say "memory_kb=$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' "$work/facts")"
    } >"$1.new" && mv "$1.new" "$1"
}

# choose_cores: sets big_cores (a list) and mask (for taskset, hexadecimal); both empty where threads cannot be pinned.
choose_cores() {
    big_cores=$(awk -v all="$core_choice" '
        $2 > 0 { khz[++n] = $2; core[n] = $1; if (!least || $2 < least) least = $2; if ($2 > most) most = $2 }
        END { for (i = 1; i <= n; i++) if (all == "all" || khz[i] > least || least == most) list = list "," core[i]
              print substr(list, 2) }' "$work/cores")
    mask=''
    if [ -z "$big_cores" ]; then
        say "The phone does not show its cores' clock rates: threads are not pinned (the mask stays empty)."
        return
    fi
    value=0
    for core in $(words "$big_cores"); do value=$((value | 1 << core)); done
    mask=$(printf '%x' "$value")
    if ! on_phone 10 "taskset $mask echo pinned" || [ "$(printf '%s\n' "$answer" | head -n 1)" != pinned ]; then
        say "The phone's taskset does not take the mask $mask ($(printf '%s\n' "$answer" | head -n 1)): threads are not pinned."
        mask='' big_cores=''
    fi
}

# choose_threads: never more than the cores they are pinned to.
choose_threads() {
    most=$(words "$big_cores" | wc -w | tr -d ' ')
    [ -n "$mask" ] || most=$cores
    [ "$most" -gt 0 ] || return 0
    kept=''
    for count in $(words "$threads"); do
        if [ "$count" -gt "$most" ]; then
            [ -z "$threads_given" ] || fail "--threads $threads: this phone has $most ${mask:+big }cores (${big_cores:-all}); \
more threads than cores measure the scheduler. Take at most $most${mask:+, or --cores all}."
            say "$most threads instead of $count: the phone has $most ${mask:+big }cores."
            count=$most
        fi
        case ",$kept," in *",$count,"*) ;; *) kept=$kept${kept:+,}$count ;; esac
    done
    threads=$kept
}

# choose_delegate_threads: those of gpu and nnapi, which have no use for more unless they are asked for.
choose_delegate_threads() {
    threads_note=''
    if [ -z "$delegate_threads" ]; then
        if [ -n "$threads_given" ]; then delegate_threads=$threads; else delegate_threads=${threads%%,*}; fi
    fi
    case $delegate_threads,$backends in
    "$threads",* | *,cpu) ;;
    *) threads_note=" on the CPU, $delegate_threads on gpu and nnapi" ;;
    esac
}

# look_at_phone: sets thermal, level, heat (tenths of a degree) and charging, each empty where the phone does not say.
look_at_phone() {
    thermal='' level='' heat='' charging=''
    on_phone 20 'dumpsys thermalservice; dumpsys battery' || [ $? -ne 255 ] || return 1
    printf '%s\n' "$answer" | awk '
        function first(name, value) { if (!(name in seen)) seen[name] = value + 0 }
        /^ *Thermal Status: *[0-9]/ { first("thermal", $3) }
        /^ *level: *[0-9]/ { first("level", $2) }
        /^ *temperature: *-?[0-9]/ { first("heat", $2) }
        /^ *status: *[2-5]/ { first("charging", $2 == 2) }
        END { print seen["thermal"] "|" seen["level"] "|" seen["heat"] "|" seen["charging"] }' >"$work/looked"
    IFS='|' read -r thermal level heat charging <"$work/looked"
}

# wait_until_cool: the phone's thermal status is 0, or it has none, or thermal_wait is 0. Returns 1 where it is gone.
wait_until_cool() {
    waited=0
    while look_at_phone || return 1; do
        case $thermal in '' | 0) return 0 ;; esac
        [ "$thermal_wait" -gt 0 ] || return 0
        [ "$waited" -lt "$thermal_wait" ] || {
            reason="the phone stayed warm: thermal status $thermal after $waited s"
            fail "$reason. Take it out of its case, off the charger, into a cool place, and continue with \
--resume=$out; --thermal_wait 0 measures all the same, and the report flags such rows."
        }
        [ $((waited % 60)) -ne 0 ] || say "Waiting for the phone to cool (thermal status $thermal) ..."
        pause=$((thermal_wait - waited < 5 ? thermal_wait - waited : 5))
        nap "$pause"
        waited=$((waited + pause))
    done
}

# set_fixed_performance: sets fixed_mode to set, unavailable or refused.
set_fixed_performance() {
    if [ "${sdk:-0}" -lt 30 ]; then
        fixed_mode=unavailable
        return
    fi
    left_on_phone="$left_on_phone fixed_performance_mode"
    write_session # so that --resume puts it back, whatever ends this program
    on_phone 20 'cmd power set-fixed-performance-mode-enabled true' || [ -n "$phone_code" ] || phone_is_there || unplugged
    if [ "$phone_code" = 0 ]; then fixed_mode='set'; else fixed_mode=refused; fi
    case $answer in
    *[Uu]nknown\ command* | *"can't find"* | *"not found"*) fixed_mode=unavailable ;;
    *[Ff]ailed* | *[Ee]xception* | *[Ee]rror*) fixed_mode=refused ;;
    esac
    # Without an answer it may have been switched on all the same.
    [ "$fixed_mode" = set ] || [ -z "$phone_code" ] || left_on_phone=${left_on_phone% fixed_performance_mode}
}

unset_fixed_performance='cmd power set-fixed-performance-mode-enabled false'

# stop_on_phone: ends the run whose process is noted in the folder, if it is still that process.
stop_on_phone() {
    # shellcheck disable=SC2016 # for the phone's shell
    on_phone 20 'p=$(cat '"$folder"'/pid 2>/dev/null); [ -n "$p" ] || exit 0
case "$(cat /proc/$p/cmdline 2>/dev/null)" in *'"$folder"'*) kill -9 $p ;; esac; rm -f '"$folder/pid"
}

# tidy_phone: puts back what was changed; what could not be is named with the commands that do it by hand.
tidy_phone() {
    [ -n "$left_on_phone" ] || return 0
    if phone_is_there; then
        stop_on_phone
        remaining=''
        for thing in $left_on_phone; do
            case $thing in
            folder) on_phone 30 "rm -rf $folder" ;;
            fixed_performance_mode) on_phone 20 "$unset_fixed_performance" ;;
            esac || remaining="$remaining $thing"
        done
        left_on_phone=$remaining
    fi
    [ -n "$left_on_phone" ] || return 0
    say "Not put back on the phone, which does not answer. --resume does it, or by hand:"
    case $left_on_phone in *folder*) say "  adb -s $serial shell rm -rf $folder" ;; esac
    case $left_on_phone in *mode*) say "  adb -s $serial shell $unset_fixed_performance   (or restart the phone)" ;; esac
}
