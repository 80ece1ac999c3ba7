#!/bin/sh
# Makes a folder in which LiteRT's ARM64 kernels run on this machine, under qemu. See --help.
set -eu

folder=.environments/arm64

usage() {
    cat <<EOF
Usage: sh environments/arm64.sh [FOLDER]

Fetches an ARM64 Python with NumPy and LiteRT, and qemu, into FOLDER (default: $folder). With it exported files
are computed by the kernels that a phone's CPU runs:
    python -m pipelines.verify --arm64=FOLDER

FOLDER appears whole or not at all, and is made again only when this script or the versions in constraints.txt
have changed. It takes about 130 MB of downloads, 180 MB on the disk and half a minute.

Needs a Debian or a relative of it (apt-get, dpkg) whose configured mirror also has arm64, and a Python with pip: the
repository's .venv if it is there, else python3; PYTHON names another one. Nothing is installed into the
system and no root rights are needed.
EOF
}

fail() {
    echo "environments/arm64.sh: $*" >&2
    exit 1
}

case ${1-} in
-h | --help)
    usage
    exit 0
    ;;
-*)
    usage >&2
    exit 2
    ;;
esac
if [ $# -gt 1 ]; then
    usage >&2
    exit 2
fi
[ -n "${1-}" ] && folder=${1%/}

repository=$(cd "$(dirname "$0")/.." && pwd)
pins=$(grep -iE '^(ai-edge-litert|ml_dtypes|numpy)==' "$repository/constraints.txt" || true)
[ "$(echo "$pins" | wc -l)" = 3 ] || fail "constraints.txt must pin ai-edge-litert, ml_dtypes and numpy; found: $pins"
stamp=$({ cat "$repository/environments/arm64.sh" && echo "$pins"; } | sha256sum | cut -d ' ' -f 1)
if [ "$(cat "$folder/made_by" 2>/dev/null)" = "$stamp" ]; then
    echo "$folder is there already"
    exit 0
fi
if [ -e "$folder" ] && [ ! -f "$folder/made_by" ] && [ -n "$(ls -A "$folder" 2>/dev/null || echo file)" ]; then
    fail "$folder holds something else. Choose another folder."
fi

for tool in apt-get dpkg tar sha256sum; do
    command -v $tool >/dev/null || fail "$tool is not there; this needs a Debian or a relative of it."
done
if [ -z "${PYTHON-}" ]; then
    PYTHON=python3
    [ -x "$repository/.venv/bin/python" ] && PYTHON=$repository/.venv/bin/python
fi
"$PYTHON" -m pip --version >/dev/null 2>&1 || fail "$PYTHON has no pip; name another one, PYTHON=/usr/bin/python3 say."

mkdir -p "$(dirname "$folder")"
parent=$(cd "$(dirname "$folder")" && pwd)
folder=$parent/$(basename "$folder")
work=$(mktemp -d "$parent/.arm64.partial-XXXXXX")
finish() { # puts back what a failed exchange of folders took away
    [ -e "$folder" ] || [ ! -e "$work/old" ] || mv "$work/old" "$folder"
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

try() { # try WHAT COMMAND...: runs it quietly; where it fails, what it said is shown
    what=$1
    shift
    "$@" >"$work/log" 2>&1 && return
    tail -n 20 "$work/log" >&2
    fail "$what failed; see above. Nothing was left in $folder."
}

# apt as this system has it configured, but with lists and packages of its own, arm64's among them.
host=$(dpkg --print-architecture)
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/debs"
: >"$work/state/status"
apt() {
    apt-get -q -y -o "Dir::State=$work/state" -o "Dir::State::status=$work/state/status" -o "Dir::Cache=$work/cache" \
        -o "APT::Architectures=$host,arm64" -o "APT::Sandbox::User=" -o Acquire::Languages=none "$@"
}
root=$work/root
mkdir -p "$root/site" "$root/proc" "$root/sys/devices/system/cpu/cpu0/cpufreq"

echo "package lists of $host and arm64"
apt update >"$work/update.log" 2>&1 || { tail -n 5 "$work/update.log" >&2 && echo "going on without those lists" >&2; }

echo "ARM64 Python"
try "Fetching ARM64 packages from the configured mirror" \
    apt --no-install-recommends --download-only install python3-minimal:arm64 libpython3-stdlib:arm64 libstdc++6:arm64
for deb in "$work"/cache/archives/*_arm64.deb; do
    try "Unpacking $deb" dpkg -x "$deb" "$root"
done
[ -e "$root/lib" ] || ln -s usr/lib "$root/lib" # as the package base-files does since Debian 13

echo "qemu"
fetch_qemu() { # fetch_qemu PACKAGE PROGRAM: false where the package has no such program
    (cd "$work/debs" && try "Fetching $1" apt download "$1:$host") || exit 1
    dpkg --fsys-tarfile "$work/debs/$1"_*.deb | tar -xO "./usr/bin/$2" >"$root/qemu-aarch64-static" 2>/dev/null
}
# Later releases have the static programs in the package qemu-user.
fetch_qemu qemu-user-static qemu-aarch64-static && [ -s "$root/qemu-aarch64-static" ] ||
    fetch_qemu qemu-user qemu-aarch64 || fail "neither qemu-user-static nor qemu-user holds an emulator of aarch64."
chmod +x "$root/qemu-aarch64-static"

version=$(readlink "$root/usr/bin/python3")
version=${version#python}
echo "$pins" | tr '\n' ' '
echo "for ARM64 Python $version"
# shellcheck disable=SC2086 # one argument a pin
try "Fetching ARM64 wheels" "$PYTHON" -m pip download -q --no-deps --only-binary=:all: --implementation cp \
    --python-version "$version" --platform manylinux_2_17_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux_2_28_aarch64 --dest "$work/wheels" $pins
for wheel in "$work"/wheels/*.whl; do
    try "Unpacking $wheel" "$PYTHON" -m zipfile -e "$wheel" "$root/site"
done

# What XNNPACK asks the system about its CPU. qemu opens a file below its root before the host's own of the same name,
# and the host's would be wrong: an x86 /proc/cpuinfo makes the library crash.
cpu=$root/sys/devices/system/cpu
mkdir -p "$cpu/cpu0/topology" "$cpu/cpu0/cache/index2"
for file in kernel_max possible present cpu0/topology/physical_package_id cpu0/topology/cluster_cpus_list \
    cpu0/cache/index2/shared_cpu_list; do
    echo 0 >"$cpu/$file"
done
echo 2 >"$cpu/cpu0/cache/index2/level"
echo 256K >"$cpu/cpu0/cache/index2/size"
echo 2000000 >"$cpu/cpu0/cpufreq/cpuinfo_min_freq"
echo 2000000 >"$cpu/cpu0/cpufreq/cpuinfo_max_freq"
cat >"$root/proc/cpuinfo" <<'EOF'
processor	: 0
BogoMIPS	: 48.00
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x1
CPU part	: 0xd0b
CPU revision	: 0

EOF

rm -rf "${root:?}/usr/share" "$root/usr/games"
run() {
    env -i "$root/qemu-aarch64-static" -cpu cortex-a76 -L "$root" "$root/usr/bin/python3" -I -S -c \
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy, ai_edge_litert.interpreter, platform
assert platform.machine() == 'aarch64', platform.machine()" "$root/site"
}
try "Running LiteRT under qemu" run # also writes the byte code

echo "$stamp" >"$root/made_by"
chmod 755 "$root"
[ ! -e "$folder" ] || mv "$folder" "$work/old"
mv -T "$root" "$folder"
echo "$folder is made: python -m pipelines.verify --arm64=$folder"
