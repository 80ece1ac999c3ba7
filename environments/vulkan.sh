#!/bin/sh
# Creates a folder with a software Vulkan driver: `sh environments/vulkan.sh --help`.
set -eu

requirements="Debian bookworm"

about() {
    cat <<END
Creates FOLDER for the tests of pipelines.benchmark --delegate=gpu, which run LiteRT's GPU accelerator on a host without
a GPU (about 90 MB of downloads):
  lib             Mesa's llvmpipe from Debian bookworm-backports, the Vulkan loader, and their dependencies; add it to
                  LD_LIBRARY_PATH
  driver.json     the manifest of the driver, for VK_DRIVER_FILES and VK_ICD_FILENAMES
  packages.txt    the packages, with versions

llvmpipe runs on the CPU, so its latency says nothing about a GPU.
END
}

# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
parse_arguments "$@"
begin

root=$work/root
sources "$host" bookworm bookworm-backports
fetch "$root" mesa-vulkan-drivers libvulkan1
mv "$work/packages" "$new/packages.txt"

# All libraries in one folder, except libc, the compiler's, and zlib, which Python has already loaded from the system.
mkdir "$new/lib"
find "$root" -name '*.so*' \( -type f -o -type l \) -path '*/lib/*linux-gnu/*' ! -path '*/gconv/*' \
    ! -name 'libc.so.*' ! -name 'libm.so.*' ! -name 'libmvec.so.*' ! -name 'libpthread.so.*' ! -name 'libdl.so.*' \
    ! -name 'librt.so.*' ! -name 'libresolv.so.*' ! -name 'libutil.so.*' ! -name 'libanl.so.*' ! -name 'libnss_*' \
    ! -name 'ld-linux*' ! -name 'libstdc++.so.*' ! -name 'libgcc_s.so.*' ! -name 'libz.so.*' \
    -exec cp -a {} "$new/lib/" \;
[ -e "$new/lib/libvulkan_lvp.so" ] || fail "these packages do not contain the driver libvulkan_lvp.so: $(cat "$new/packages.txt")"
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' \
    "$folder/lib/libvulkan_lvp.so" >"$new/driver.json"
finish "$(grep '^mesa-vulkan-drivers ' "$new/packages.txt")"
