#!/bin/sh
# Creates a folder with adb, shellcheck, and adbd from Debian: `sh environments/adb.sh --help`.
set -eu

requirements="Debian bookworm; the tests also require root and the packages iproute2, util-linux, gcc, and libc6-dev"

about() {
    cat <<END
Creates FOLDER (60 MB) for the tests marked \`device\` and for the shellcheck test:
  bin/adb         the adb client of this Debian release
  bin/shellcheck  from the same release
  bin/adbd        the adb daemon that runs on devices, from Debian trixie, with the libraries and loader of trixie
  packages.txt    the packages, with versions
END
}

# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
parse_arguments "$@"
begin

# fetch_suite SUITE PACKAGES...: unpacks them into $new/SUITE.
fetch_suite() {
    sources "$host" "$1"
    shift
    fetch "$new/$suites" "$@"
    sed "s/^/$suites /" "$work/packages" >>"$new/packages.txt"
}

# wrap NAME PATH: creates bin/NAME, which runs PATH of $release with its libraries and this system's C library. adb
# starts its server by executing itself, so it cannot be run through another loader.
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
try "Running the downloaded adb" "$new/bin/adb" version
version=$(sed -n 's/^Version //p' "$work/log")
try "Running the downloaded shellcheck" "$new/bin/shellcheck" --version
finish "adb $version, $(sed -n 's/^trixie \(adbd .*\)/\1/p' "$new/packages.txt")"
