#!/bin/sh
# Makes a folder with a Vulkan driver that computes on the CPU: `sh environments/vulkan.sh --help`.
set -eu

NEEDED="apt dpkg"

usage() {
    cat <<END
Usage: sh environments/vulkan.sh [FOLDER]

Makes FOLDER (default .environments/vulkan) for the tests of pipelines.benchmark --delegate=gpu, so that they
run LiteRT's GPU accelerator on a host without a GPU:
  lib             Mesa's llvmpipe from Debian bookworm-backports, the Vulkan loader and the libraries they need
  driver.json     names the driver; VK_DRIVER_FILES and VK_ICD_FILENAMES take it, LD_LIBRARY_PATH takes lib
  packages.txt    the packages inside, with versions

llvmpipe is no GPU: its times say nothing about one. The packages (about 90 MB) come with \`apt-get download\`
from the mirror that this system's apt is configured for, and are unpacked in FOLDER; nothing is installed, no
root is needed. FOLDER appears whole or not at all, and is made again only when this script has changed. Runs
on Debian bookworm. It needs: $NEEDED.
END
}

fail() {
    echo "environments/vulkan.sh: $*" >&2
    exit 1
}

case "${1-}" in
-h | --help)
    usage
    exit 0
    ;;
-*) fail "unknown flag $1; there is only --help." ;;
esac
[ $# -le 1 ] || fail "one FOLDER at most; received: $*"
folder=${1-.environments/vulkan}
for tool in apt-get dpkg; do
    command -v "$tool" >/dev/null || fail "$tool is missing. Needed: $NEEDED."
done
stamp=$(cksum <"$0")
if [ "$(cat "$folder/.made_by" 2>/dev/null)" = "$stamp" ]; then
    echo "$folder is up to date."
    exit 0
fi
if [ -e "$folder" ] && [ ! -e "$folder/.made_by" ] && [ -n "$(ls -A "$folder")" ]; then
    fail "$folder holds something else. Name another folder, or remove it."
fi
mkdir -p "$(dirname "$folder")"
folder=$(cd "$(dirname "$folder")" && pwd)/$(basename "$folder")
new=$folder.partial-$$
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$new/apt/lists/partial" "$new/apt/cache/archives/partial" "$new/root"

# shellcheck disable=SC2016 # apt's own placeholders
mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "bookworm" && $2 == "main" { print $3; exit }')
[ -n "$mirror" ] || fail "apt has no source for Debian bookworm, main. Look into /etc/apt/sources.list*."
for suite in bookworm bookworm-backports; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$new/apt/sources.list"
: >"$new/apt/status"

# apt-get with lists, cache and installed packages (none) of its own.
private_apt() {
    apt-get -qq -o Dir::Etc::SourceList="$new/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$new/apt" -o Dir::State::Lists="$new/apt/lists" -o Dir::State::Status="$new/apt/status" \
        -o Dir::Cache="$new/apt/cache" -o APT::Sandbox::User="$(id -un)" -o APT::Install-Recommends=false \
        -o APT::Default-Release=bookworm-backports -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o APT::Update::Post-Invoke-Success::= -o APT::Update::Post-Invoke::= "$@"
}

echo "Fetching mesa-vulkan-drivers from Debian bookworm-backports ..."
private_apt update || fail "the package lists of Debian bookworm could not be read from this system's mirror."
private_apt install --print-uris --yes mesa-vulkan-drivers libvulkan1 |
    sed -n "s/^'[^']*' \([^_]*\)_\([^_]*\)_.*/\1=\2/p" | sed 's/%3a/:/' >"$new/apt/wanted"
# shellcheck disable=SC2046 # one word a package
(cd "$new/apt/cache" && private_apt download $(cat "$new/apt/wanted"))
for package in "$new/apt/cache"/*.deb; do
    dpkg -x "$package" "$new/root"
    # shellcheck disable=SC2016 # dpkg's own placeholders
    dpkg-deb --show --showformat='${Package} ${Version}\n' "$package" >>"$new/packages.txt"
done

# One folder of libraries, without those of the C library, the compiler and zlib: Python has loaded its own of them.
mkdir "$new/lib"
find "$new/root" -name '*.so*' \( -type f -o -type l \) -path '*/lib/*linux-gnu/*' ! -path '*/gconv/*' \
    ! -name 'libc.so.*' ! -name 'libm.so.*' ! -name 'libmvec.so.*' ! -name 'libpthread.so.*' ! -name 'libdl.so.*' \
    ! -name 'librt.so.*' ! -name 'libresolv.so.*' ! -name 'libutil.so.*' ! -name 'libanl.so.*' ! -name 'libnss_*' \
    ! -name 'ld-linux*' ! -name 'libstdc++.so.*' ! -name 'libgcc_s.so.*' ! -name 'libz.so.*' \
    -exec cp -a {} "$new/lib/" \;
[ -e "$new/lib/libvulkan_lvp.so" ] || fail "the driver libvulkan_lvp.so is not in these packages: $(cat "$new/packages.txt")"
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' \
    "$folder/lib/libvulkan_lvp.so" >"$new/driver.json"
rm -rf "$new/root" "$new/apt"
echo "$stamp" >"$new/.made_by"
rm -rf "$folder"
mv "$new" "$folder"
echo "Made $folder."
