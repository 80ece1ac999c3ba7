#!/bin/sh
# Builds the Android app without Gradle and without an Android SDK, against stubs of LiteRT.
set -eu

usage() {
    cat <<'END'
Usage: sh tests/android/build_apk.sh [--tools FOLDER] [--out FILE] [--assets FOLDER] [--work FOLDER]

Compiles, packages, aligns, signs, and verifies the app in android_assets, to test that it builds. The APK does not run
on a phone, because it does not contain LiteRT; use Android Studio or ./gradlew to build one that does.

  --tools FOLDER   created by `sh environments/android.sh` (default: .environments/android)
  --out FILE       the APK (default: android_assets/app/build/check/mnext-demo.apk)
  --assets FOLDER  the assets to package (default: those of the app)
  --work FOLDER    keeps the compiled classes in FOLDER/classes and FOLDER/stubs
END
}

die() {
    echo "build_apk.sh: $1" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
main=$root/android_assets/app/src/main
gradle=$root/android_assets/app/build.gradle.kts
tools=$root/.environments/android
out=$root/android_assets/app/build/check/mnext-demo.apk
assets=$main/assets
work=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --tools | --out | --assets | --work)
        [ $# -ge 2 ] || die "$1 requires a value"
        case $1 in
        --tools) tools=$2 ;;
        --out) out=$2 ;;
        --assets) assets=$2 ;;
        --work) work=$2 ;;
        esac
        shift 2
        ;;
    *) die "unknown option $1; see --help" ;;
    esac
done
[ -f "$tools/made_by" ] || die "$tools is missing; to create it: sh environments/android.sh $tools"
[ -d "$assets" ] || die "$assets is not a folder"
command -v javac >/dev/null || die "javac is missing; install openjdk-17-jdk-headless"

tools=$(cd "$tools" && pwd)
mkdir -p "$(dirname "$out")"
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
work=${work:-$temporary/work}
mkdir -p "$work/stubs" "$work/classes" "$temporary/dex"

# Reads a setting from Gradle's file, so that it is defined only once.
setting() {
    value=$(sed -n "s/^ *$1 *= *\"\{0,1\}\([^\"]*\)\"\{0,1\} *\$/\1/p" "$gradle")
    [ -n "$value" ] || die "no $1 in $gradle"
    echo "$value"
}
package=$(setting namespace)
min=$(setting minSdk)
target=$(setting targetSdk)
code=$(setting versionCode)
name=$(setting versionName)
android=$tools/android-$min.jar
[ -f "$android" ] || die "the minSdk of the app is $min, but $android is missing"

# aapt2 requires the package in the manifest; Gradle adds it from the namespace.
sed "s|<manifest |<manifest package=\"$package\" |" "$main/AndroidManifest.xml" >"$temporary/AndroidManifest.xml"
# Like Gradle, without hidden files, such as .gitkeep.
mkdir "$temporary/assets"
find "$assets" -maxdepth 1 -type f ! -name '.*' -exec cp {} "$temporary/assets/" \;
"$tools/bin/aapt2" compile --dir "$main/res" -o "$temporary/res.zip"
"$tools/bin/aapt2" link -o "$temporary/linked.apk" -I "$android" --manifest "$temporary/AndroidManifest.xml" \
    --min-sdk-version "$min" --target-sdk-version "$target" --version-code "$code" --version-name "$name" \
    --java "$temporary/r" -A "$temporary/assets" -0 tflite "$temporary/res.zip"

find "$here/stubs" -name '*.java' >"$temporary/stubs.list"
javac -nowarn --release 11 -d "$work/stubs" "@$temporary/stubs.list"
find "$temporary/r" -name '*.java' >"$temporary/r.list"
javac -nowarn --release 11 -d "$work/classes" "@$temporary/r.list"
# The Android Gradle plugin 9.4 includes Kotlin 2.2.
"$tools/bin/kotlinc" -language-version 2.2 -jvm-target 11 -Werror -d "$work/classes" \
    -cp "$android:$work/stubs:$work/classes:$tools/kotlin/kotlin-stdlib.jar" "$main/kotlin"

find "$work/classes" -name '*.class' >"$temporary/classes.list"
"$tools/bin/d8" --release --min-api "$min" --lib "$android" --classpath "$work/stubs" \
    --classpath "$tools/kotlin/kotlin-stdlib.jar" --output "$temporary/dex" "@$temporary/classes.list"
python3 - "$temporary/linked.apk" "$temporary/dex/classes.dex" "$tools/kotlin-$min.zip" <<'END'
import sys, zipfile
apk, classes, library = sys.argv[1:]
with zipfile.ZipFile(apk, "a", zipfile.ZIP_DEFLATED) as to, zipfile.ZipFile(library) as of:
    to.write(classes, "classes.dex")
    to.writestr("classes2.dex", of.read("classes.dex"))
END

"$tools/bin/zipalign" -f -p 4 "$temporary/linked.apk" "$temporary/aligned.apk"
keytool -genkeypair -keystore "$temporary/key" -storetype PKCS12 -storepass throwaway -alias key -keyalg RSA \
    -keysize 2048 -validity 2 -dname "CN=throwaway" 2>/dev/null
"$tools/bin/apksigner" sign --ks "$temporary/key" --ks-pass pass:throwaway --ks-key-alias key \
    --v1-signing-enabled true --v2-signing-enabled true --v3-signing-enabled true --v4-signing-enabled false \
    --min-sdk-version "$min" --out "$temporary/signed.apk" "$temporary/aligned.apk"
"$tools/bin/zipalign" -c -p 4 "$temporary/signed.apk" >/dev/null || die "the APK is not aligned"
"$tools/bin/apksigner" verify --min-sdk-version "$min" "$temporary/signed.apk" >"$temporary/verified" ||
    die "the signature is invalid: $(cat "$temporary/verified")"
mv "$temporary/signed.apk" "$out"
echo "$out: $(wc -c <"$out") bytes, signed with a temporary key, verified"
