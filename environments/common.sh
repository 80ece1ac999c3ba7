# shellcheck shell=sh disable=SC2034,SC2154 # its variables are also those of the script that reads it
# What the scripts beside it share. Each sets $needs and the function about, for --help, and then calls in this order:
# arguments "$@"; begin; sources and fetch, for Debian's packages; whatever else fills the folder $new; finish.

here=$(cd "$(dirname "$0")" && pwd)
name=$(basename "$0" .sh)
pins='' # the lines of constraints.txt that a script goes by

fail() {
    echo "environments/$name.sh: $*" >&2
    exit 1
}

# need PROGRAMS...: said at once, not after minutes of downloads.
need() {
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "$program is missing. Needs: $needs."
    done
}

# try WHAT COMMAND...: quiet, because apt-get and pip say much; where it fails, the end of what it said is shown.
try() {
    what=$1
    shift
    "$@" >"$work/log" 2>&1 && return
    tail -n 20 "$work/log" >&2
    fail "$what failed; see above."
}

# arguments "$@": sets $folder, or answers --help.
arguments() {
    case ${1-} in
    -h | --help)
        printf 'Usage: sh environments/%s.sh [FOLDER]\n\n' "$name"
        about
        cat <<END

FOLDER (default .environments/$name) appears whole or not at all, and is made again only when this script, common.sh
beside it or the versions that it takes from constraints.txt have changed. Debian's packages come from the mirror
that this system's apt is configured for and are only unpacked in FOLDER: nothing is installed, no root is needed.

Needs: $needs.
END
        exit 0
        ;;
    -*) fail "unknown flag $1; there is only --help." ;;
    esac
    [ $# -le 1 ] || fail "one FOLDER at most; received: $*"
    folder=${1:-.environments/$name}
}

# begin: sets $new, a folder to fill; ends the script where $folder is already what would be made.
begin() {
    stamp=$({ cat "$here/common.sh" "$here/$name.sh" && echo "$pins"; } | sha256sum)
    if [ "$(cat "$folder/made_by" 2>/dev/null)" = "$stamp" ]; then
        echo "$folder is up to date."
        exit 0
    fi
    if [ -e "$folder" ] && [ ! -f "$folder/made_by" ] && [ -n "$(ls -A "$folder" 2>&1)" ]; then
        fail "$folder holds something else. Name another folder, or remove it."
    fi
    need apt-get dpkg dpkg-deb
    host=$(dpkg --print-architecture)
    find_mirror
    mkdir -p "$(dirname "$folder")"
    folder=$(cd "$(dirname "$folder")" && pwd)/$(basename "$folder")
    work=$(mktemp -d "$(dirname "$folder")/.$name.partial-XXXXXX") # beside $folder, so that `mv` only renames
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    new=$work/new
    mkdir "$new"
}

# leave: where finish was interrupted between its two renames, the old folder comes back.
leave() {
    [ -e "$folder" ] || [ ! -e "$work/old" ] || mv "$work/old" "$folder"
    rm -rf "$work"
}

# finish WHAT: $new becomes $folder; marked last, so that the mark means that all before went well.
finish() {
    echo "$stamp" >"$new/made_by"
    [ ! -e "$folder" ] || mv "$folder" "$work/old"
    mv -T "$new" "$folder"
    echo "Made $folder: $*"
}

# find_mirror: sets $release and $mirror; the host that apt uses here is the one that can be reached.
find_mirror() {
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    # shellcheck disable=SC2016 # apt's own placeholders
    mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$release" '$1 == release && $2 == "main" { print $3; exit }')
    [ -n "$mirror" ] ||
        fail "apt has no source for Debian ${release:-(which release?)}, main. Look into /etc/apt/sources.list*."
}

# sources ARCHITECTURE SUITES...: reads the package lists that fetch goes by; of two suites the last is preferred.
# No package counts as installed, so that all that is depended on comes too.
sources() {
    apt=$work/apt architecture=$1
    shift
    suites=$*
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg # where there is none, apt has its keys elsewhere
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
    try "Reading the package lists of Debian $suites ($architecture)" private_apt update
}

# private_apt ARGUMENTS...: a file of settings, because `-o` cannot take away the hooks that the system has.
private_apt() { apt-get -q -y -c "$apt/conf" "$@"; }

# fetch FOLDER PACKAGES...: unpacks them there, and all that they depend on; fetch_alone: without those.
fetch() { fetch_by "install --download-only" "$@"; }
fetch_alone() { fetch_by download "$@"; }

# fetch_by HOW FOLDER PACKAGES...: $work/packages then names what was unpacked, with versions.
fetch_by() {
    how=$1 target=$2
    shift 2
    echo "Fetching $* from Debian $suites ($architecture) ..."
    # shellcheck disable=SC2086 # a command and its flag
    (cd "$apt/cache/archives" && try "Fetching $* from Debian $suites ($architecture)" private_apt $how "$@")
    : >"$work/packages"
    for package in "$apt"/cache/archives/*.deb; do
        try "Unpacking $package" dpkg -x "$package" "$target"
        # shellcheck disable=SC2016 # dpkg's own placeholders
        dpkg-deb --show --showformat='${Package} ${Version}\n' "$package" >>"$work/packages"
        rm "$package"
    done
}
