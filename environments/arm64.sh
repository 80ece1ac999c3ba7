#!/bin/sh
# Creates a folder for running LiteRT's ARM64 kernels on this machine with qemu: `sh environments/arm64.sh --help`.
set -eu

requirements="Debian, or a derivative whose configured mirror also has arm64, and Python with pip"

about() {
    cat <<END
Creates FOLDER with Python, NumPy, and LiteRT for ARM64, and qemu. They run exported files with the same kernels as a
phone's CPU:
    python -m pipelines.verify --arm64=FOLDER

It downloads about 130 MB, uses 180 MB on disk, and takes half a minute. The Python whose pip downloads the packages is
the repository's .venv, if it exists, otherwise python3; set PYTHON for another one.
END
}

# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
parse_arguments "$@"
repository=$(dirname "$here")
pins=$(grep -iE '^(ai-edge-litert|ml_dtypes|numpy)==' "$repository/constraints.txt" || true)
[ "$(echo "$pins" | wc -l)" = 3 ] || fail "constraints.txt must pin ai-edge-litert, ml_dtypes and numpy; found: $pins"
begin
if [ -z "${PYTHON-}" ]; then
    PYTHON=python3
    [ -x "$repository/.venv/bin/python" ] && PYTHON=$repository/.venv/bin/python
fi
"$PYTHON" -m pip --version >/dev/null 2>&1 || fail "$PYTHON has no pip; set PYTHON to another one, such as PYTHON=/usr/bin/python3."

sources arm64 "$release"
fetch "$new" python3-minimal libpython3-stdlib libstdc++6
[ -e "$new/lib" ] || ln -s usr/lib "$new/lib" # like the package base-files since Debian 13

sources "$host" "$release"
fetch "$work/qemu" qemu-user-static
for program in qemu-aarch64-static qemu-aarch64; do # later releases use the second name for the static binary
    [ ! -f "$work/qemu/usr/bin/$program" ] || cp "$work/qemu/usr/bin/$program" "$new/qemu-aarch64-static"
done
[ -e "$new/qemu-aarch64-static" ] || fail "these packages contain no aarch64 emulator: $(cat "$work/packages")"

version=$(readlink "$new/usr/bin/python3")
version=${version#python}
echo "Fetching $(echo "$pins" | tr '\n' ' ')for ARM64 Python $version ..."
# shellcheck disable=SC2086 # one argument per pin
try "Fetching ARM64 wheels" "$PYTHON" -m pip download -q --no-deps --only-binary=:all: --implementation cp \
    --python-version "$version" --platform manylinux_2_17_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux_2_28_aarch64 --dest "$work/wheels" $pins
mkdir "$new/site"
for wheel in "$work"/wheels/*.whl; do
    try "Unpacking $wheel" "$PYTHON" -m zipfile -e "$wheel" "$new/site"
done

# The CPU information that XNNPACK reads. qemu prefers a file in its root to the host's file of the same name, and the
# host's would be wrong: an x86 /proc/cpuinfo crashes the library.
cpu=$new/sys/devices/system/cpu
mkdir -p "$new/proc" "$cpu/cpu0/cpufreq" "$cpu/cpu0/topology" "$cpu/cpu0/cache/index2"
for file in kernel_max possible present cpu0/topology/physical_package_id cpu0/topology/cluster_cpus_list \
    cpu0/cache/index2/shared_cpu_list; do
    echo 0 >"$cpu/$file"
done
echo 2 >"$cpu/cpu0/cache/index2/level"
echo 256K >"$cpu/cpu0/cache/index2/size"
echo 2000000 >"$cpu/cpu0/cpufreq/cpuinfo_min_freq"
echo 2000000 >"$cpu/cpu0/cpufreq/cpuinfo_max_freq"
cat >"$new/proc/cpuinfo" <<'EOF'
processor	: 0
BogoMIPS	: 48.00
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x1
CPU part	: 0xd0b
CPU revision	: 0

EOF

rm -rf "${new:?}/usr/share" "${new:?}/usr/games" "${new:?}/var"
run() {
    env -i "$new/qemu-aarch64-static" -cpu cortex-a76 -L "$new" "$new/usr/bin/python3" -I -S -c \
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy, ai_edge_litert.interpreter, platform
assert platform.machine() == 'aarch64', platform.machine()" "$new/site"
}
try "Running LiteRT under qemu" run # also compiles the bytecode

finish "python -m pipelines.verify --arm64=$folder"
