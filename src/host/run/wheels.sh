# Wheels of the dependencies that are sdists: from the cache, or built now and kept for the next revision. Runs in the
# work folder.
#
#   wheels.sh take LIST CACHE MOST   copies what the cache has to the work folder
#   wheels.sh build LIST ABI         puts a wheel beside each sdist: one that was taken, or built now
#   wheels.sh keep LIST CACHE MOST   copies what was built to the cache
#
# LIST   a line for each sdist: role, key of its entry, sha256 of the sdist, file, name, version
# CACHE  for each entry a folder KEY with the wheel and its hash, as sha256sum writes it
# ABI    what the log calls the image's ABI
# MOST   KiB that the cache may hold
#
# Only `build` runs strangers' code, and it sees no cache, so nothing but wheels gets there, and no more than MOST. In
# `keep`, everything in the work folder is a stranger's. The Python under test only builds: it may be broken, so it must
# not do the checks. A cache that can't be read or written is no reason to fail.
set -euf
command=$1 list=$2
taken=.pybots/wheels built=.pybots/built

# Sets $wheel to the name of the only wheel in a folder.
one_wheel() {
    wheel=$(cd "$1" && find . -name '*.whl' -type f -links 1 -printf '%f\n') 2>/dev/null || return 1
    case $wheel in
        '' | *[!A-Za-z0-9._+!-]*) return 1 ;; # none, or more than one
    esac
}

# Whether a folder has at most so many KiB. A copy loses hard links and holes, so each counts with its full size.
small() {
    [ "$(du -sk --apparent-size "$1" 2>/dev/null | cut -f 1)" -le "$2" ] 2>/dev/null
}

# Whether a folder holds one wheel and its hash.
whole() {
    [ -f "$1/sha256" ] && one_wheel "$1" && (cd "$1" && sha256sum --check --strict --status sha256 2>/dev/null) &&
        # the hash has to be of this wheel only
        [ "$(cut -c 67- "$1/sha256")" = "$wheel" ]
}

# Another run may remove the entry meanwhile, so the copy is what counts.
take() {
    mkdir -p "$taken"
    small "$1/$key" "$2" || return 0
    cp -R "$1/$key" "$taken/$key" 2>/dev/null && whole "$taken/$key" || { drop "$taken/$key" && return; }
    touch -c "$1/$key" 2>/dev/null || true
}

build() {
    folder=$taken/$key how=reused
    if ! whole "$folder"; then
        folder=$built/$key how=built
        rm -rf "$folder"
        # without --quiet, which would hide the compiler's messages
        uv build --wheel --no-create-gitignore --python venv/bin/python --out-dir "$folder" "wheels/$file" </dev/null || {
            code=$?
            if [ "$role" = build ]; then
                echo "wheel of $name $version: does not build by itself; left to what needs it"
                return
            fi
            exit "$code"
        }
        if ! one_wheel "$folder"; then
            echo "wheel of $name $version: no wheel came of its build; left to what needs it"
            return
        fi
        (cd "$folder" && sha256sum "$wheel" >sha256)
    fi
    hash=$(cut -c 1-64 "$folder/sha256")
    cp "$folder/$wheel" wheels/
    # the pin accepts the wheel as well as the sdist that it was built from
    sed -i "s/ --hash=sha256:$sdist\$/& --hash=sha256:$hash/" .pybots/requirements.txt
    echo "wheel of $name $version: $how (ABI $1, sha256 $hash)"
}

# Writes under another name and renames, so that an interrupted write is never an entry. If two runs store the same
# wheel, one of them stays, and either is good.
keep() {
    [ -d "$built/$key" ] && [ ! -L "$built/$key" ] && [ ! -L "$built/$key/sha256" ] || return 0
    small "$built/$key" "$2" && whole "$built/$key" || return 0
    shrink "$1" "$(($2 - $(du -sk --apparent-size "$built/$key" | cut -f 1)))"
    part=$(mktemp -d "$1/part.XXXXXX" 2>/dev/null) || { echo "the cache of wheels cannot be written" && return; }
    if cp "$built/$key/$wheel" "$built/$key/sha256" "$part" 2>/dev/null && sync "$part/$wheel" "$part/sha256" "$part" 2>/dev/null; then
        # a bad entry can be in the way, or one that a proof replaces
        mv -T "$1/$key" "$part.old" 2>/dev/null || true
        mv -T "$part" "$1/$key" 2>/dev/null && sync "$1" && echo "kept the wheel of $name $version"
    fi
    drop "$part" "$part.old"
}

# another run may be removing the same entry
drop() {
    rm -rf "$@" 2>/dev/null || true
}

# Entries that were unused for longest are removed first.
shrink() {
    for entry in $(ls -Atr "$1" 2>/dev/null); do
        [ "$(du -sk "$1" 2>/dev/null | cut -f 1)" -gt "$2" ] || break
        drop "${1:?}/$entry"
    done
}

shift 2
[ "$command" != keep ] || shrink "$@" # an earlier one may have been killed
while read -r role key sdist file name version; do
    [ -z "$role" ] || "$command" "$@"
done <<END
$list
END
[ "$command" != build ] || rm -rf "$taken"
