# shellcheck shell=bash
# Other people's clients (clients/), when the command line needs them, in target/clients: those in JavaScript with
# Node and the packages that their lock files name, from npm's registry; the one in Rust with the crates of its own.
# Sourced by ./squall after setup.sh, whose steps it uses.
: "${root:?the repository}" "${target:?the folder of cargo}"

clients=$target/clients

# The folders of clients/ that the command line needs, one a line.
client_folders() {
    "$target/release/squall" needs --clients ${command_line[@]+"${command_line[@]}"}
}

ensure_clients() {
    local name
    for name in $(client_folders); do
        client_is_set_up "$name" || with_lock set_up_client "$name"
    done
}

# What a folder is set up from, in one line: everything in it, in the kit, and what brings Node; or, in Rust, the
# contract.
client_sources() {
    local others=(kit-js powersync-js node/package-lock.json)
    [[ ! -f $root/clients/$1/Cargo.toml ]] || others=(../protocol ../Cargo.toml ../rust-toolchain.toml)
    (cd "$root/clients" && find "$1" "${others[@]}" \( -name node_modules -o -name target \) -prune -o -type f \
        -exec cksum {} + | sort | cksum)
}

client_is_set_up() {
    [[ -f $clients/$1/.set-up && $(<"$clients/$1/.set-up") == "$(client_sources "$1")" ]]
}

# What packages are installed from: their lock file, and that of Node, for which some are compiled.
locked() { cat "$clients/$1/package-lock.json" "$clients/node/package-lock.json"; }

# Packages are installed anew only when that changed.
set_up_client() {
    local name=$1 sources folder
    ! client_is_set_up "$name" || return 0
    [[ ! -f $root/clients/$name/Cargo.toml ]] || {
        set_up_crate "$name"
        return
    }
    [[ $name == node ]] || client_is_set_up node || set_up_client node
    sources=$(client_sources "$name")
    for folder in kit-js powersync-js "$name"; do
        mkdir -p "$clients/$folder"
        (cd "$root/clients/$folder" && tar -cf - --exclude=./node_modules .) | tar -xf - -C "$clients/$folder"
    done
    folder=$clients/$name
    [[ -f $folder/.installed && $(<"$folder/.installed") == "$(locked "$name")" ]] ||
        step "client-$name" "installing the packages of $name" install_packages_of "$name" ||
        fail "the packages of $name could not be installed; they stand in clients/$name/package-lock.json"
    case $name in
        powersync-web) step "client-$name-bundle" "bundling $name" bundle_web "$folder" || fail "the build failed" ;;
    esac
    echo "$sources" >"$folder/.set-up"
}

# A client in Rust: a workspace of its own, built for itself, since one build links one SQLite.
set_up_crate() {
    local name=$1 sources folder=$clients/$1
    need_rust
    install_packages build_packages
    sources=$(client_sources "$name")
    mkdir -p "$folder"
    step "client-$name" "building $name (minutes, the first time)" build_crate "$name" "$folder" || fail "the build failed"
    echo "$sources" >"$folder/.set-up"
}

# build_crate NAME FOLDER: the program in FOLDER. One that runs is not written to.
build_crate() {
    (cd "$root/clients/$1" && CARGO_TARGET_DIR=$2/target cargo build --locked --release) || return
    cp "$2/target/release/squall-$1" "$2/.new-$$" && mv "$2/.new-$$" "$2/program"
}

# No install script runs: what has to be compiled is compiled here, for our Node.
install_packages_of() {
    local folder=$clients/$1
    (cd "$folder" && "${SQUALL_NPM:-npm}" ci --ignore-scripts --no-audit --no-fund --no-update-notifier) || return
    [[ ! -d $folder/node_modules/better-sqlite3 ]] || compile_better_sqlite3 "$folder/node_modules/better-sqlite3" ||
        return
    locked "$1" >"$folder/.installed"
}

node_home() { echo "$clients"/node/node_modules/node-*-*; }

# compile_better_sqlite3 FOLDER: once for every version, since it takes a minute.
compile_better_sqlite3() {
    local home version cached built=$1/build/Release
    home=$(node_home)
    version=$(sed -n 's/^ *"version": "\(.*\)",$/\1/p' "$1/package.json")
    cached=${XDG_CACHE_HOME:-$HOME/.cache}/squall/tools/better-sqlite3-$version-$("$home/bin/node" --version)-$(uname -m)
    if [[ ! -f $cached/better_sqlite3.node ]]; then
        (cd "$1" && env MAKE="${SQUALL_MAKE:-make}" PYTHON="${SQUALL_PYTHON:-python3}" PATH="$home/bin:$PATH" \
            ${SQUALL_CXX:+CXX="$SQUALL_CXX"} node "$clients/node/node_modules/node-gyp/bin/node-gyp.js" \
            rebuild --release --nodedir="$home") || return
        mkdir -p "$cached"
        cp "$built/better_sqlite3.node" "$cached/.new-$$" && mv "$cached/.new-$$" "$cached/better_sqlite3.node"
        return
    fi
    mkdir -p "$built"
    cp "$cached/better_sqlite3.node" "$built/"
}

# bundle_web FOLDER: the page with its scripts in page/; the SDK's worker is beside the script that starts it.
bundle_web() (
    cd "$1" || return
    rm -rf page
    mkdir page
    cp index.html page/ && cp -R node_modules/@powersync/web/dist/worker/. page/ || return
    "$(node_home)/bin/node" node_modules/esbuild/bin/esbuild main.js --bundle --format=esm --splitting \
        --platform=browser --target=es2022 --sourcemap --outdir=page
)
