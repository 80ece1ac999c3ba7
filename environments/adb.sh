#!/bin/sh
# Makes a folder with Debian's adb, shellcheck and, from Debian trixie, adbd: `sh environments/adb.sh --help`.
set -eu

needs="Debian bookworm; the tests also need root and the packages iproute2 util-linux gcc libc6-dev"

about() {
    cat <<END
Makes FOLDER (60 MB) for the tests with the marker \`device\` and for shellcheck:
  bin/adb         the adb client of this Debian release
  bin/shellcheck  of the same release
  bin/adbd        the device's side of adb, from Debian trixie, with trixie's own libraries and loader
  packages.txt    the packages inside, with versions
END
}

# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
arguments "$@"
begin

# fetch_suite SUITE PACKAGES...: into $new/SUITE.
fetch_suite() {
    sources "$host" "$1"
    shift
    fetch "$new/$suites" "$@"
    sed "s/^/$suites /" "$work/packages" >>"$new/packages.txt"
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

fetch_suite "$release" adb shellcheck
fetch_suite trixie adbd
mkdir "$new/bin"
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
rm -rf "$new"/*/usr/share
try "Running the adb that was fetched" "$new/bin/adb" version
version=$(sed -n 's/^Version //p' "$work/log")
try "Running the shellcheck that was fetched" "$new/bin/shellcheck" --version
finish "adb $version, $(sed -n 's/^trixie \(adbd .*\)/\1/p' "$new/packages.txt")"
