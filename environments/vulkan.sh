#!/bin/sh
# Makes a folder with a Vulkan driver that computes on the CPU: `sh environments/vulkan.sh --help`.
set -eu

needs="Debian bookworm"

about() {
    cat <<END
Makes FOLDER for the tests of pipelines.benchmark --delegate=gpu, so that they run LiteRT's GPU accelerator on a
host without a GPU (about 90 MB of downloads):
  lib             Mesa's llvmpipe from Debian bookworm-backports, the Vulkan loader and the libraries they need
  driver.json     names the driver; VK_DRIVER_FILES and VK_ICD_FILENAMES take it, LD_LIBRARY_PATH takes lib
  packages.txt    the packages inside, with versions

llvmpipe is no GPU: its times say nothing about one.
END
}

# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
arguments "$@"
begin

root=$work/root
sources "$host" bookworm bookworm-backports
fetch "$root" mesa-vulkan-drivers libvulkan1
mv "$work/packages" "$new/packages.txt"

# One folder of libraries, without those of the C library, the compiler and zlib: Python has loaded its own of them.
mkdir "$new/lib"
find "$root" -name '*.so*' \( -type f -o -type l \) -path '*/lib/*linux-gnu/*' ! -path '*/gconv/*' \
    ! -name 'libc.so.*' ! -name 'libm.so.*' ! -name 'libmvec.so.*' ! -name 'libpthread.so.*' ! -name 'libdl.so.*' \
    ! -name 'librt.so.*' ! -name 'libresolv.so.*' ! -name 'libutil.so.*' ! -name 'libanl.so.*' ! -name 'libnss_*' \
    ! -name 'ld-linux*' ! -name 'libstdc++.so.*' ! -name 'libgcc_s.so.*' ! -name 'libz.so.*' \
    -exec cp -a {} "$new/lib/" \;
[ -e "$new/lib/libvulkan_lvp.so" ] || fail "the driver libvulkan_lvp.so is not in these packages: $(cat "$new/packages.txt")"
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' \
    "$folder/lib/libvulkan_lvp.so" >"$new/driver.json"
finish "$(grep '^mesa-vulkan-drivers ' "$new/packages.txt")"
