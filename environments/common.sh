# shellcheck shell=sh disable=SC2034,SC2154 # the variables are also those of the script that sources this file
# Shared by the other scripts in this folder. Each of them sets $requirements and defines about(), for --help; then it
# calls parse_arguments "$@", begin, sources and fetch (for Debian packages), whatever else fills $new, and finish.

here=$(cd "$(dirname "$0")" && pwd)
name=$(basename "$0" .sh)
pins='' # the lines of constraints.txt that a script depends on

fail() {
    echo "environments/$name.sh: $*" >&2
    exit 1
}

# require PROGRAMS...: fails at once, instead of after minutes of downloads, if one is missing.
require() {
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "$program is missing. Requirements: $requirements."
    done
}

# try WHAT COMMAND...: hides the output of COMMAND; on failure, prints the end of it.
try() {
    what=$1
    shift
    "$@" >"$work/log" 2>&1 && return
    tail -n 20 "$work/log" >&2
    fail "$what failed; see above."
}

# parse_arguments "$@": sets $folder, or prints the help.
parse_arguments() {
    case ${1-} in
    -h | --help)
        printf 'Usage: sh environments/%s.sh [FOLDER]\n\n' "$name"
        about
        cat <<END

FOLDER (default: .environments/$name) is created atomically. It is recreated only if this script, common.sh, or the
versions pinned in constraints.txt have changed. Debian packages come from the mirror configured for apt and are only
unpacked into FOLDER: nothing is installed, and root privileges are not required.

Requirements: $requirements.
END
        exit 0
        ;;
    -*) fail "unknown flag $1; the only flag is --help." ;;
    esac
    [ $# -le 1 ] || fail "expected at most one FOLDER; received: $*"
    folder=${1:-.environments/$name}
}

# begin: creates $new, the folder to fill; exits if $folder is up to date.
begin() {
    stamp=$({ cat "$here/common.sh" "$here/$name.sh" && echo "$pins"; } | sha256sum)
    if [ "$(cat "$folder/made_by" 2>/dev/null)" = "$stamp" ]; then
        echo "$folder is up to date."
        exit 0
    fi
    if [ -e "$folder" ] && [ ! -f "$folder/made_by" ] && [ -n "$(ls -A "$folder" 2>&1)" ]; then
        fail "$folder contains something else. Choose another folder, or remove it."
    fi
    require apt-get dpkg dpkg-deb
    host=$(dpkg --print-architecture)
    find_mirror
    mkdir -p "$(dirname "$folder")"
    folder=$(cd "$(dirname "$folder")" && pwd)/$(basename "$folder")
    work=$(mktemp -d "$(dirname "$folder")/.$name.partial-XXXXXX") # next to $folder, so that mv is a rename
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    new=$work/new
    mkdir "$new"
}

# leave: the exit handler; restores the old folder if finish was interrupted between its two renames.
leave() {
    [ -e "$folder" ] || [ ! -e "$work/old" ] || mv "$work/old" "$folder"
    rm -rf "$work"
}

# finish WHAT: $new becomes $folder. made_by is written last, so it marks a complete folder.
finish() {
    echo "$stamp" >"$new/made_by"
    [ ! -e "$folder" ] || mv "$folder" "$work/old"
    mv -T "$new" "$folder"
    echo "Created $folder: $*"
}

# find_mirror: sets $release and $mirror, which are those of the system's apt.
find_mirror() {
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    # shellcheck disable=SC2016 # placeholders of apt
    mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$release" '$1 == release && $2 == "main" { print $3; exit }')
    [ -n "$mirror" ] ||
        fail "apt has no source for main of Debian ${release:-(unknown release)}. Check /etc/apt/sources.list*."
}

# sources ARCHITECTURE SUITES...: downloads the package lists for fetch; of two suites, the last is preferred. No
# package counts as installed, so all dependencies are fetched, too.
sources() {
    apt=$work/apt architecture=$1
    shift
    suites=$*
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg # if it is missing, apt has its keys elsewhere
    for suite in "$@"; do
        echo "deb $([ ! -e "$keyring" ] || echo "[signed-by=$keyring]") $mirror $suite main"
    done >"$apt/sources.list"
    cat >"$apt/conf" <<END
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT { Architecture "$architecture"; Default-Release "$suite"; Install-Recommends "false"; };
APT { Sandbox::User "root"; Update::Error-Mode "any"; };
Acquire { Languages "none"; Retries "3"; };
Dir { Cache "$apt/cache"; Etc::SourceList "$apt/sources.list"; Etc::SourceParts "/dev/null"; };
Dir { State "$apt"; State::Lists "$apt/lists"; State::Status "$apt/status"; };
END
    try "Downloading the package lists of Debian $suites ($architecture)" private_apt update
}

# private_apt ARGUMENTS...: with a configuration file, because `-o` cannot remove the system's hooks.
private_apt() { apt-get -q -y -c "$apt/conf" "$@"; }

# fetch FOLDER PACKAGES...: unpacks the packages and their dependencies into FOLDER; fetch_alone: without dependencies.
fetch() { fetch_by "install --download-only" "$@"; }
fetch_alone() { fetch_by download "$@"; }

# fetch_by HOW FOLDER PACKAGES...: also writes the names and versions of the packages to $work/packages.
fetch_by() {
    how=$1 target=$2
    shift 2
    echo "Fetching $* from Debian $suites ($architecture) ..."
    # shellcheck disable=SC2086 # a command and its flag
    (cd "$apt/cache/archives" && try "Fetching $* from Debian $suites ($architecture)" private_apt $how "$@")
    : >"$work/packages"
    for package in "$apt"/cache/archives/*.deb; do
        try "Unpacking $package" dpkg -x "$package" "$target"
        # shellcheck disable=SC2016 # placeholders of dpkg
        dpkg-deb --show --showformat='${Package} ${Version}\n' "$package" >>"$work/packages"
        rm "$package"
    done
}
