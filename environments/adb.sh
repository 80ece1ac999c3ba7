#!/bin/sh
# Makes a folder with Debian's adb, shellcheck and, from Debian trixie, adbd: `sh environments/adb.sh --help`.
set -eu

SYSTEM="iproute2 util-linux gcc libc6-dev" # must be installed, for the tests; this script installs nothing

usage() {
    cat <<END
Usage: sh environments/adb.sh [FOLDER]

Makes FOLDER (default .environments/adb) for the tests with the marker \`device\` and for shellcheck:
  bin/adb         the adb client of this Debian release
  bin/shellcheck  of the same release
  bin/adbd        the device's side of adb, from Debian trixie, with trixie's own libraries and loader
  packages.txt    the packages inside, with versions

The packages come with \`apt-get download\` from the mirror that this system's apt is configured for, and are
unpacked in FOLDER (60 MB); nothing is installed and the system's own package lists stay as they are. No root is
needed for that (the tests need it, for namespaces of their own). FOLDER appears whole or not at all, and is made
again only when this script has changed. For Debian bookworm. The tests need these Debian packages:
  $SYSTEM
END
}

fail() {
    echo "environments/adb.sh: $*" >&2
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
folder=${1-.environments/adb}
for tool in apt-get dpkg dpkg-deb; do
    command -v "$tool" >/dev/null || fail "$tool is missing: this runs on Debian."
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
mkdir "$new" "$new/bin"

# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
# shellcheck disable=SC2016 # apt's own placeholders
mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk -v release="$release" '$1 == release && $2 == "main" { print $3; exit }')
[ -n "$mirror" ] || fail "apt has no source for Debian ${release:-(which release?)}, main. Look into /etc/apt/sources.list*."

# private_apt SUITE ARGUMENTS...: apt-get with lists, cache and installed packages (none) of its own.
private_apt() {
    suite=$1
    shift
    apt-get -qq -o Dir::Etc::SourceList="$new/apt/$suite/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$new/apt/$suite" -o Dir::State::Lists="$new/apt/$suite/lists" \
        -o Dir::State::Status="$new/apt/$suite/status" -o Dir::Cache="$new/apt/$suite/cache" \
        -o APT::Sandbox::User="$(id -un)" -o APT::Install-Recommends=false -o Acquire::Languages=none \
        -o Acquire::Retries=3 -o APT::Update::Post-Invoke-Success::= -o APT::Update::Post-Invoke::= "$@"
}

# fetch SUITE PACKAGES...: unpacks them and all that they depend on into $new/SUITE.
fetch() {
    suite=$1
    shift
    echo "Fetching $* from Debian $suite ..."
    mkdir -p "$new/apt/$suite/lists/partial" "$new/apt/$suite/cache/archives/partial" "$new/$suite"
    : >"$new/apt/$suite/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
        >"$new/apt/$suite/sources.list"
    private_apt "$suite" update || fail "the package lists of Debian $suite could not be read from this system's mirror."
    private_apt "$suite" install --print-uris --yes "$@" | sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p" >"$new/apt/$suite/wanted"
    # shellcheck disable=SC2046 # one word a package
    (cd "$new/apt/$suite/cache" && private_apt "$suite" download $(cat "$new/apt/$suite/wanted"))
    for package in "$new/apt/$suite/cache"/*.deb; do
        dpkg -x "$package" "$new/$suite"
        dpkg-deb --show --showformat="$suite \${Package} \${Version}\n" "$package" >>"$new/packages.txt"
    done
}

# wrap NAME PATH: bin/NAME runs PATH of $release with the libraries beside it and this system's C library: adb
# starts its server by running itself, so no other loader can be put before it.
wrap() {
    cat >"$new/bin/$1" <<END
#!/bin/sh
root=\$(cd "\$(dirname "\$0")/../$release" && pwd)
LD_LIBRARY_PATH=\$root/usr/lib/$triplet/android:\$root/usr/lib/$triplet:\$root/lib/$triplet \\
    exec "\$root/$2" "\$@"
END
    chmod 755 "$new/bin/$1"
}

fetch "$release" adb shellcheck
fetch trixie adbd
loader=$(cd "$new/trixie" && find usr/lib lib -name 'ld-linux*.so.*' 2>/dev/null | head -n 1)
triplet=$(basename "$(dirname "$(find "$new/trixie" -name 'libc.so.6' | head -n 1)")")
find "$new/$release" \( -name 'libc.so.*' -o -name 'libm.so.*' -o -name 'libpthread.so.*' -o -name 'libdl.so.*' \
    -o -name 'librt.so.*' -o -name 'libresolv.so.*' -o -name 'ld-linux*' \) -exec rm -f {} +
wrap adb "$(cd "$new/$release" && find usr -name adb -type f -perm -100 | head -n 1)"
wrap shellcheck usr/bin/shellcheck
adbd=$(cd "$new/trixie" && find usr -name adbd -type f -perm -100 | head -n 1)
cat >"$new/bin/adbd" <<END
#!/bin/sh
root=\$(cd "\$(dirname "\$0")/../trixie" && pwd)
exec "\$root/$loader" --library-path "\$root/usr/lib/$triplet/android:\$root/usr/lib/$triplet" "\$root/$adbd" "\$@"
END
chmod 755 "$new/bin/adbd"
rm -rf "$new/apt" "$new"/*/usr/share
"$new/bin/adb" version >/dev/null || fail "the adb that was fetched does not run here."
"$new/bin/shellcheck" --version >/dev/null || fail "the shellcheck that was fetched does not run here."
echo "$stamp" >"$new/.made_by"
rm -rf "$folder"
mv "$new" "$folder"
echo "Made $folder: $("$folder/bin/adb" version | sed -n 's/^Version //p'), \
$(sed -n 's/^trixie \(adbd .*\)/\1/p' "$folder/packages.txt")."
