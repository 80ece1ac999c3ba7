# shellcheck shell=sh disable=SC2034,SC2154 # the variables are those of run_adb.sh, which sources this file
# The phone: selecting it, its properties, its shell, its thermal state, its performance mode, its folder.

# on_phone SECONDS COMMAND: runs COMMAND in the phone's shell; its stdout and stderr are in $answer. Returns its exit
# status, 124 after SECONDS, or 255 if the connection broke. The phone prints the status, because adb does not return it
# before Android 7.
answer_file=answer
on_phone() {
    phone_code=''
    with_timeout "$1" "$work/$answer_file" "$adb" -s "$serial" shell "exec 2>&1; ( $2
); code=\$?; echo; echo MNEXT_RC=\$code"
    [ $? -ne 124 ] || {
        answer="no response within $1 s"
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

phone_is_connected() {
    with_timeout 10 "$work/state" "$adb" -s "$serial" get-state
    [ "$(tr -d '\r' <"$work/state" | head -n 1)" = device ]
}

# describe_state STATE: a device state other than `device`, and what to do about it.
describe_state() {
    case $1 in
    unauthorized) say "has not authorized this computer: unlock it and accept 'Allow USB debugging?'. If the prompt does \
not appear, unplug the phone, choose Developer options > Revoke USB debugging authorizations, and plug it in again." ;;
    offline) say "is offline: unplug it and plug it in again (over Wi-Fi: adb disconnect, then adb connect). If that \
does not help: adb kill-server, or restart the phone." ;;
    no) say "cannot be opened (no permissions): on Linux, install android-sdk-platform-tools-common or other udev rules, \
join the group plugdev, log in again, and plug the phone in again." ;;
    authorizing | connecting) say "is still connecting: try again in a few seconds." ;;
    *) say "is in the state '$1' instead of 'device': boot Android on it and enable USB debugging." ;;
    esac
}

# find_phone: sets $serial, or fails and says why no device can be used.
find_phone() {
    command -v "$adb" >/dev/null || fail "adb not found ($adb). Install it (Debian and Ubuntu: apt install adb; macOS: brew \
install android-platform-tools; others: https://developer.android.com/tools/releases/platform-tools), or give its path: \
--adb PATH."
    with_timeout 30 "$work/devices" "$adb" devices -l || fail "adb devices failed: $(one_line "$work/devices")"
    tr -d '\r' <"$work/devices" | sed -e '/^\* /d' -e '/^List of devices/d' -e '/^[[:space:]]*$/d' -e '/^adb /d' >"$work/list"
    if [ -n "$serial" ]; then
        state=$(awk -v serial="$serial" '$1 == serial { print $2; exit }' "$work/list")
        [ -n "$state" ] || fail "device $serial is not connected. $(list_phones)"
    else
        case $(wc -l <"$work/list" | tr -d ' ') in
        0) fail "no device is connected. Plug the phone in (the cable must carry data), enable Developer options > USB \
debugging, and accept the prompt on the phone; over Wi-Fi: adb connect IP:PORT. adb devices must list it." ;;
        1)
            serial=$(awk '{ print $1 }' "$work/list")
            state=$(awk '{ print $2 }' "$work/list")
            ;;
        *) fail "more than one device is connected; choose one with --serial. $(list_phones)" ;;
        esac
    fi
    [ "$state" = device ] || fail "device $serial $(describe_state "$state")"
    phone_is_connected || fail "device $serial does not respond: $(one_line "$work/state")"
}

# list_phones: every connected device with its model.
list_phones() {
    [ -s "$work/list" ] || say "No other device is connected either."
    [ ! -s "$work/list" ] || say "Connected devices:"
    while read -r listed state rest; do
        model_name=$(printf '%s\n' "$rest" | sed -n 's/.*model:\([^ ]*\).*/\1/p')
        if [ -z "$model_name" ] && [ "$state" = device ]; then
            with_timeout 10 "$work/name" "$adb" -s "$listed" shell getprop ro.product.model
            model_name=$(tr -d '\r' <"$work/name" | head -n 1)
        fi
        say "  --serial $listed  ($state${model_name:+, $model_name})"
    done <"$work/list"
}

# read_device_info: writes the phone's properties to $work/properties; sets abi, abis, sdk, cores, khz, product_model, and
# fingerprint.
read_device_info() {
    # shellcheck disable=SC2016 # for the phone's shell
    on_phone 30 'for p in ro.product.manufacturer ro.product.model ro.product.name ro.product.device ro.soc.manufacturer \
ro.soc.model ro.board.platform ro.hardware ro.build.version.release ro.build.version.sdk ro.build.fingerprint \
ro.product.cpu.abi ro.product.cpu.abilist; do echo "$p=$(getprop $p)"; done
for c in /sys/devices/system/cpu/cpu[0-9]*; do echo "core=${c##*/cpu} $(cat $c/cpufreq/cpuinfo_max_freq 2>/dev/null)"; done
cat /proc/meminfo' || fail "the shell of device $serial does not respond: $answer"
    printf '%s\n' "$answer" >"$work/properties"
    abi=$(property ro.product.cpu.abi)
    abis=$(property ro.product.cpu.abilist)
    sdk=$(property ro.build.version.sdk)
    product_model=$(property ro.product.model)
    fingerprint=$(property ro.build.fingerprint)
    # Without leading zeros: in shell arithmetic 08 would be an invalid octal number.
    sed -n 's/^core=0*\([0-9][0-9]* .*\)/\1/p' "$work/properties" | sort -n >"$work/cores"
    cores=$(wc -l <"$work/cores" | tr -d ' ')
    khz=$(awk '{ printf "%s%s", (NR > 1 ? "," : ""), $2 }' "$work/cores")
    [ -n "$abi" ] || fail "the ABI of device $serial is unknown (getprop ro.product.cpu.abi is empty)."
}

property() { sed -n "s/^$1=//p" "$work/properties" | head -n 1; }

write_device_file() {
    {
        say "serial=$serial"
        for pair in manufacturer:ro.product.manufacturer model:ro.product.model product:ro.product.name \
            device:ro.product.device soc_manufacturer:ro.soc.manufacturer soc_model:ro.soc.model \
            board_platform:ro.board.platform hardware:ro.hardware android_release:ro.build.version.release \
            sdk:ro.build.version.sdk build_fingerprint:ro.build.fingerprint abi:ro.product.cpu.abi; do
            say "${pair%%:*}=$(property "${pair#*:}")"
        done
        say "cores=$cores"
        say "cpu_max_khz=$khz"
        say "memory_kb=$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' "$work/properties")"
    } >"$1.new" && mv "$1.new" "$1"
}

# choose_cores: sets big_cores (a list) and mask (for taskset, hexadecimal); both are empty if threads cannot be pinned.
choose_cores() {
    big_cores=$(awk -v all="$core_choice" '
        $2 > 0 { khz[++n] = $2; core[n] = $1; if (!least || $2 < least) least = $2; if ($2 > most) most = $2 }
        END { for (i = 1; i <= n; i++) if (all == "all" || khz[i] > least || least == most) list = list "," core[i]
              print substr(list, 2) }' "$work/cores")
    mask=''
    if [ -z "$big_cores" ]; then
        say "The phone does not report the clock rates of its cores: threads are not pinned (the mask is empty)."
        return
    fi
    value=0
    for core in $(words "$big_cores"); do value=$((value | 1 << core)); done
    mask=$(printf '%x' "$value")
    if ! on_phone 10 "taskset $mask echo pinned" || [ "$(printf '%s\n' "$answer" | head -n 1)" != pinned ]; then
        say "The phone's taskset rejects the mask $mask ($(printf '%s\n' "$answer" | head -n 1)): threads are not pinned."
        mask='' big_cores=''
    fi
}

# choose_threads: at most as many as the cores that they are pinned to.
choose_threads() {
    most=$(words "$big_cores" | wc -w | tr -d ' ')
    [ -n "$mask" ] || most=$cores
    [ "$most" -gt 0 ] || return 0
    kept=''
    for count in $(words "$threads"); do
        if [ "$count" -gt "$most" ]; then
            [ -z "$threads_given" ] || fail "--threads $threads: this phone has $most ${mask:+big }cores (${big_cores:-all}); \
more threads than cores would measure the scheduler. Use at most $most${mask:+, or --cores all}."
            say "Using $most threads instead of $count: the phone has $most ${mask:+big }cores."
            count=$most
        fi
        case ",$kept," in *",$count,"*) ;; *) kept=$kept${kept:+,}$count ;; esac
    done
    threads=$kept
}

# choose_delegate_threads: for gpu and nnapi the first number only, unless --threads was given.
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

# read_thermal_and_battery: sets thermal, level (percent), temperature (tenths of a degree Celsius), and charging (0 or
# 1); what the phone does not report is empty. Returns 1 if the phone is disconnected.
read_thermal_and_battery() {
    thermal='' level='' temperature='' charging=''
    on_phone 20 'dumpsys thermalservice; dumpsys battery' || [ $? -ne 255 ] || return 1
    printf '%s\n' "$answer" | awk '
        function first(name, value) { if (!(name in seen)) seen[name] = value + 0 }
        /^ *Thermal Status: *[0-9]/ { first("thermal", $3) }
        /^ *level: *[0-9]/ { first("level", $2) }
        /^ *temperature: *-?[0-9]/ { first("temperature", $2) }
        /^ *status: *[2-5]/ { first("charging", $2 == 2) }
        END { print seen["thermal"] "|" seen["level"] "|" seen["temperature"] "|" seen["charging"] }' >"$work/thermal"
    IFS='|' read -r thermal level temperature charging <"$work/thermal"
}

# wait_until_cool: until the thermal status is 0 or not reported, unless thermal_wait is 0. Returns 1 if the phone is
# disconnected.
wait_until_cool() {
    waited=0
    while read_thermal_and_battery || return 1; do
        case $thermal in '' | 0) return 0 ;; esac
        [ "$thermal_wait" -gt 0 ] || return 0
        [ "$waited" -lt "$thermal_wait" ] || {
            reason="the phone did not cool down: thermal status $thermal after $waited s"
            fail "$reason. Take it out of its case, unplug the charger, let it cool, and resume with --resume=$out. \
--thermal_wait 0 measures regardless; the report flags those rows."
        }
        [ $((waited % 60)) -ne 0 ] || say "Waiting for the phone to cool down (thermal status $thermal) ..."
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
    write_session # so that --resume restores it even if this process is killed
    on_phone 20 'cmd power set-fixed-performance-mode-enabled true' || [ -n "$phone_code" ] || phone_is_connected || stop_unplugged
    if [ "$phone_code" = 0 ]; then fixed_mode='set'; else fixed_mode=refused; fi
    case $answer in
    *[Uu]nknown\ command* | *"can't find"* | *"not found"*) fixed_mode=unavailable ;;
    *[Ff]ailed* | *[Ee]xception* | *[Ee]rror*) fixed_mode=refused ;;
    esac
    # Without a response, it may have been enabled anyway.
    [ "$fixed_mode" = set ] || [ -z "$phone_code" ] || left_on_phone=${left_on_phone% fixed_performance_mode}
}

unset_fixed_performance='cmd power set-fixed-performance-mode-enabled false'

# stop_on_phone: kills the run whose process ID is in the folder, if that process is still benchmark_model.
stop_on_phone() {
    # shellcheck disable=SC2016 # for the phone's shell
    on_phone 20 'p=$(cat '"$folder"'/pid 2>/dev/null); [ -n "$p" ] || exit 0
case "$(cat /proc/$p/cmdline 2>/dev/null)" in *'"$folder"'*) kill -9 $p ;; esac; rm -f '"$folder/pid"
}

# restore_phone: undoes what was changed on the phone; if it does not respond, prints the commands that do so.
restore_phone() {
    [ -n "$left_on_phone" ] || return 0
    if phone_is_connected; then
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
    say "The phone does not respond, so it could not be restored. --resume will do it; to do it by hand:"
    case $left_on_phone in *folder*) say "  adb -s $serial shell rm -rf $folder" ;; esac
    case $left_on_phone in *mode*) say "  adb -s $serial shell $unset_fixed_performance   (or restart the phone)" ;; esac
}
