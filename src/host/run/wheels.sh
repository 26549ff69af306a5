# Before the dependencies are installed: puts a wheel beside each sdist among them, from the cache, or built
# now and kept for the next revision. Runs in the work folder, with its environment made.
#
#   wheels.sh LIST CACHE ABI MOST [anew]
#
# LIST   a line for each sdist: role, key of its entry, sha256 of the sdist, file, name, version
# CACHE  for each entry a folder KEY with the wheel and its hash, as sha256sum writes it
# ABI    what the log calls the image's ABI
# MOST   KiB that the cache may hold
# anew   builds every wheel, whatever the cache has, and keeps it in place of the one that is there
#
# The Python under test only builds: it may be broken, so it must not do the checks. A cache that can't be read or
# written is no reason to fail.
set -euf
list=$1 cache=$2 abi=$3 most=$4 anew=${5:-}
new=.wheel # the wheel at hand, with its hash

# Checks a copy of the entry's wheel, since another run may remove the entry meanwhile.
reuse() {
    rm -rf "$new"
    [ -z "$anew" ] && [ -f "$cache/$1/sha256" ] && cp -R "$cache/$1" "$new" 2>/dev/null && one_wheel &&
        (cd "$new" && sha256sum --check --strict --status sha256 2>/dev/null) &&
        # the hash has to be of this wheel only
        [ "$(cut -c 67- "$new/sha256")" = "$wheel" ]
}

# Sets $wheel to the name of the only wheel there is.
one_wheel() {
    wheel=$(cd "$new" && find . -name '*.whl' -type f -printf '%f\n')
    case $wheel in
        '' | *[!A-Za-z0-9._+!-]*) return 1 ;; # none, or more than one
    esac
}

# Writes under another name and renames, so that an interrupted write is never an entry. If two runs store the same
# wheel, one of them stays, and either is good.
keep() {
    part=$(mktemp -d "$cache/part.XXXXXX" 2>/dev/null) || return
    kept=1
    if cp "$new/$wheel" "$new/sha256" "$part" 2>/dev/null && sync "$part/$wheel" "$part/sha256" "$part" 2>/dev/null; then
        # a bad entry can be in the way, or with `anew` one that is replaced
        mv -T "$cache/$1" "$part.old" 2>/dev/null || true
        mv -T "$part" "$cache/$1" 2>/dev/null || true
        sync "$cache" && [ -d "$cache/$1" ] && kept=0
    fi
    drop "$part" "$part.old"
    return "$kept"
}

# another run may be removing the same entry
drop() {
    rm -rf "$@" 2>/dev/null || true
}

# Entries that were unused for longest are removed first.
shrink() {
    for entry in $(ls -Atr "$cache" 2>/dev/null); do
        [ "$(du -sk "$cache" 2>/dev/null | cut -f 1)" -gt "$most" ] || break
        drop "${cache:?}/$entry"
    done
}

while read -r role key sdist file name version; do
    if reuse "$key"; then
        touch -c "$cache/$key" 2>/dev/null || true
        how=reused
    else
        rm -rf "$new"
        # without --quiet, which would hide the compiler's messages
        uv build --wheel --no-create-gitignore --python venv/bin/python --out-dir "$new" "wheels/$file" </dev/null || {
            code=$?
            if [ "$role" = build ]; then
                echo "wheel of $name $version: does not build by itself; left to what needs it"
                continue
            fi
            exit "$code"
        }
        if ! one_wheel; then
            echo "wheel of $name $version: no wheel came of its build; left to what needs it"
            continue
        fi
        (cd "$new" && sha256sum "$wheel" >sha256)
        how="built, but the cache could not be written"
        if keep "$key"; then how="built and kept"; fi
    fi
    hash=$(cut -c 1-64 "$new/sha256")
    mv "$new/$wheel" wheels/
    # the pin accepts the wheel as well as the sdist that it was built from
    sed -i "s/ --hash=sha256:$sdist\$/& --hash=sha256:$hash/" .pybots/requirements.txt
    echo "wheel of $name $version: $how (ABI $abi, sha256 $hash)"
done <"$list"
rm -rf "$new"
shrink
