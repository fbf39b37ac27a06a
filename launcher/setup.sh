# shellcheck shell=bash
# Sourced by ./squall, which sets these:
: "${root:?the repository}" "${target:?the folder of cargo}" "${logs:?where the output of each step goes}"

# Every function that looks for something is cheap, so that a start with nothing to do takes a
# fraction of a second. Only Debian and its relatives are installed on; elsewhere, and without the
# right to, it is said what is missing.

MISSING_PROGRAM=69

# ---- telling ----------------------------------------------------------------------------------

# tell FORMAT ARGUMENT...: what cannot be said (a closed stream, a full disk) ends nothing.
# shellcheck disable=SC2059
tell() { printf "$@" >&2 2>/dev/null || true; }
say() { tell 'squall: %s\n' "$*"; }

# fail LINE...: ends the launcher; the first line says what is wrong, the others what to do.
fail() {
    say "$1"
    shift
    [[ $# -eq 0 ]] || tell '%s\n' "$@"
    exit "$MISSING_PROGRAM"
}

# step NAME WHAT COMMAND...: runs the command with its output in a log; on failure shows the end of it.
step() {
    local what=$2 log=$logs/$1.log began=$SECONDS
    shift 2
    tell 'squall: %s ... ' "$what"
    # Children must not inherit the lock: something that stays behind would hold it.
    if "$@" >"$log" 2>&1 </dev/null 9>&-; then
        tell '%d s\n' $((SECONDS - began))
    else
        tell 'failed\n%s\n' "$(tail -n 30 "$log" | sed 's/^/    /')"
        say "all of it is in $log"
        return 1
    fi
}

# ---- looking ----------------------------------------------------------------------------------

have() { command -v "$1" >/dev/null 2>&1; }

# Prints the first clang that compiles C to WebAssembly.
wasm_compiler() {
    local candidate
    for candidate in "${CC_wasm32_unknown_unknown:-}" clang clang-{22,21,20,19,18,17,16,15,14}; do
        if [[ -n $candidate ]] && have "$candidate" &&
            echo 'int one(void) { return 1; }' |
            "$candidate" --target=wasm32-unknown-unknown -c -x c -o /dev/null - 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

have_libclang() {
    local folder
    [[ -n ${LIBCLANG_PATH:-} ]] && return
    for folder in /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu /usr/lib64 /usr/lib /usr/local/lib; do
        compgen -G "$folder/libclang*.so*" >/dev/null && return
    done
    [[ $OSTYPE == darwin* ]]
}

toolchain_channel() { sed -n 's/^channel *= *"\(.*\)"/\1/p' "$root/rust-toolchain.toml"; }

# The pinned toolchain with everything that rust-toolchain.toml asks for. RUSTUP_AUTO_INSTALL=0:
# looking must not download.
have_toolchain() {
    local sysroot
    sysroot=$(cd "$root" && RUSTUP_AUTO_INSTALL=0 rustc --print sysroot 2>/dev/null) &&
        [[ -d $sysroot/lib/rustlib/wasm32-unknown-unknown/lib && -x $sysroot/bin/cargo-clippy &&
            -x $sysroot/bin/rustfmt ]]
}

# The wasm-bindgen program must have the very version of the library.
wasm_bindgen_version() {
    sed -n '/^name = "wasm-bindgen"$/{n;s/^version = "\(.*\)"/\1/p;}' "$root/Cargo.lock"
}

# Prints the folder of a fitting wasm-bindgen.
wasm_bindgen_folder() {
    local version own
    version=$(wasm_bindgen_version)
    own=$(wasm_bindgen_root)/bin
    if [[ -x $own/wasm-bindgen && -x $own/wasm-bindgen-test-runner ]]; then
        echo "$own"
    elif have wasm-bindgen && have wasm-bindgen-test-runner &&
        [[ $(wasm-bindgen --version) == "wasm-bindgen $version" ]]; then
        dirname "$(command -v wasm-bindgen)"
    else
        return 1
    fi
}

wasm_bindgen_root() { tool_root "wasm-bindgen-$(wasm_bindgen_version)"; }

# Where a tool goes that cargo installs.
tool_root() { echo "${XDG_CACHE_HOME:-$HOME/.cache}/squall/tools/$1"; }

GECKODRIVER_VERSION=0.37.0

# Prints the geckodriver that was built here.
geckodriver() {
    local own
    own=$(tool_root "geckodriver-$GECKODRIVER_VERSION")/bin/geckodriver
    [[ -x $own ]] && echo "$own"
}

# ---- setting up -------------------------------------------------------------------------------

# Two launchers at once: the second one waits, and then finds nothing to do.
with_lock() {
    if have flock; then
        exec 9>"$logs/lock"
        flock -n 9 || {
            say "waiting for another ./squall that is setting up"
            flock 9
        }
    fi
    "$@"
    exec 9>&-
}

# What the command line needs to run, as far as it is missing; the program knows. Before it is built, nothing
# of that is known.
fleet_needs() {
    [[ ! -x $target/release/squall ]] || "$target/release/squall" needs ${command_line[@]+"${command_line[@]}"}
}

# As far as Debian has it.
fleet_packages() { fleet_needs | grep -vx geckodriver || true; }

# What a build needs, as far as it is missing.
build_packages() {
    have cc || echo gcc libc6-dev
    if ! wasm_compiler >/dev/null || ! have_libclang; then echo clang; fi
}

# ensure_packages LIST: the function LIST prints the packages that are missing.
ensure_packages() {
    [[ -z $("$1") ]] || with_lock install_packages "$1"
}

install_packages() {
    local packages as_root=()
    read -ra packages <<<"$("$1" | tr '\n' ' ')"
    [[ ${#packages[@]} -gt 0 ]] || return 0
    have apt-get || fail "missing, and there is no apt-get here to install it with:" \
        "$(explain_all_missing)"
    if [[ $(id -u) -ne 0 ]]; then
        if ! have sudo || ! sudo -n true 2>/dev/null; then
            fail "some packages are missing; install them with" \
                "    sudo apt-get install --no-install-recommends ${packages[*]}"
        fi
        as_root=(sudo -n)
    fi
    step "packages-${1%_packages}" "installing ${packages[*]}" apt_install "${packages[@]}" ||
        fail "apt-get could not install all of this; get it another way:" \
            "$(explain_all_missing)"
    [[ -z $("$1") ]] || fail "installed, and still not found: $("$1" | tr '\n' ' ')"
}

# Reads as_root of its caller. The package lists may be missing (a fresh container) or name versions
# that are gone, hence the second try.
apt_install() {
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get -y -o DPkg::Lock::Timeout=300)
    apt_install_once "$@" || { "${apt[@]}" update && apt_install_once "$@"; }
}

# Debian's postgresql package would make a cluster and run it. Only its programs are wanted, so it is
# told not to, for the time of the installation.
apt_install_once() {
    local setting=/etc/postgresql-common/createcluster.conf result=0
    if [[ " $* " != *" postgresql "* ]]; then
        "${apt[@]}" install --no-install-recommends "$@"
        return
    fi
    "${apt[@]}" install --no-install-recommends postgresql-common || return
    "${as_root[@]}" cp "$setting" "$setting.before-squall"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee -a "$setting" >/dev/null
    "${apt[@]}" install --no-install-recommends "$@" || result=$?
    "${as_root[@]}" mv "$setting.before-squall" "$setting"
    return "$result"
}

explain_all_missing() {
    local package
    have cargo || explain rustup
    for package in $(fleet_packages) $(build_packages); do explain "$package"; done
}

# Where a system that is not Debian gets a package from.
explain() {
    case $1 in
        chromium) echo "    Chromium or Chrome: https://www.chromium.org, or set SQUALL_CHROMIUM to it" ;;
        chromium-driver) echo "    chromedriver of the browser's version:" \
            "https://googlechromelabs.github.io/chrome-for-testing, or set SQUALL_CHROMEDRIVER" ;;
        firefox-esr) echo "    Firefox 140 or later: https://www.mozilla.org/firefox, or set SQUALL_FIREFOX to it" ;;
        postgresql) echo "    PostgreSQL 14 or later with its server programs (initdb, postgres) in" \
            "PATH: https://www.postgresql.org/download" ;;
        sqlite3) echo "    the SQLite command-line shell in PATH: https://sqlite.org/download.html, or" \
            "set SQUALL_SQLITE3 to it" ;;
        npm) echo "    npm, which comes with Node: https://nodejs.org" ;;
        make | g++ | python3) echo "    $1 in PATH" ;;
        rustup) echo "    rustup: https://rustup.rs" ;;
        gcc) echo "    a C compiler as 'cc'" ;;
        clang) echo "    clang 14 or later with libclang and the WebAssembly target (Apple's has" \
            "none: brew install llvm), named in CC_wasm32_unknown_unknown if it is not 'clang'" ;;
        *) ;;
    esac
}

need_rust() {
    local channel
    have cargo || PATH=$PATH:$HOME/.cargo/bin
    have cargo || fail "cargo is missing: install rustup from https://rustup.rs, then start again"
    have_toolchain && return
    channel=$(toolchain_channel)
    have rustup || fail \
        "this cargo ($(cargo --version)) lacks what rust-toolchain.toml asks for: Rust $channel with" \
        "rustfmt, clippy and the target wasm32-unknown-unknown." \
        "Install rustup from https://rustup.rs, then start again"
    step toolchain "installing Rust $channel" \
        rustup toolchain install "$channel" --no-self-update --profile minimal \
        --component clippy --component rustfmt --target wasm32-unknown-unknown ||
        fail "rustup could not install Rust $channel. If a proxy or an offline machine is the" \
            "reason, install it another way; what is needed stands in rust-toolchain.toml"
}

need_wasm_bindgen() {
    local version
    wasm_bindgen_folder >/dev/null && return
    version=$(wasm_bindgen_version)
    step wasm-bindgen "building wasm-bindgen $version (once, some minutes)" \
        install_crate wasm-bindgen-cli "$version" "$(wasm_bindgen_root)" ||
        fail "wasm-bindgen $version could not be installed; to try by hand:" \
            "    cargo install wasm-bindgen-cli --version $version"
}

# Firefox's driver is in no package of Debian's.
need_geckodriver() {
    geckodriver >/dev/null && return
    need_rust
    step geckodriver "building geckodriver $GECKODRIVER_VERSION (once, some minutes)" \
        install_crate geckodriver "$GECKODRIVER_VERSION" "$(tool_root "geckodriver-$GECKODRIVER_VERSION")" ||
        fail "geckodriver $GECKODRIVER_VERSION could not be installed; get it another way, and" \
            "    set SQUALL_GECKODRIVER to it, or put it into PATH"
}

# Makes geckodriver known to the program, and builds it if the command line needs it.
ensure_geckodriver() {
    if [[ -z ${SQUALL_GECKODRIVER:-} ]] && geckodriver >/dev/null; then
        SQUALL_GECKODRIVER=$(geckodriver)
        export SQUALL_GECKODRIVER
    fi
    [[ $(fleet_needs) == *geckodriver* ]] || return 0
    with_lock need_geckodriver
    SQUALL_GECKODRIVER=$(geckodriver)
    export SQUALL_GECKODRIVER
}

# install_crate NAME VERSION FOLDER: within the repository, so that the pinned toolchain is taken; without its
# target folder. Its own lock file first; a registry mirror may not have all that it names, hence the second try.
# It runs for a second at a time, so that it builds fast matters more than that it is fast.
install_crate() (
    cd "$root" || return
    unset CARGO_TARGET_DIR
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=1
    install=(cargo install "$1" --version "$2" --root "$3")
    "${install[@]}" --locked || "${install[@]}"
)

# ---- building ---------------------------------------------------------------------------------

# Whether something that a build reads is newer than the last build (folders too: a removed file
# changes its folder's time).
sources_changed() {
    [[ -x $target/release/squall && -f $target/bundle/.built ]] || return 0
    [[ -n $(find "$root" -mindepth 1 \( -path "$target" -o -path "$root/target" -o -path "$root/runs" \
        -o -name '.*' -o -name '*.md' -o -name node_modules \) -prune -o -newer "$target/bundle/.built" -print -quit) ]]
}

# The tests use other features of some dependencies, so whoever is about to test builds for that at
# once: the program comes with it, and nothing is compiled twice.
build_command=(build --locked --release -p squall-coordinator)
build_for_tests() { build_command=(test --locked --release --workspace --no-run); }

ensure_built() {
    ! sources_changed || with_lock build
}

build() {
    sources_changed || return 0
    need_rust
    install_packages build_packages
    need_wasm_bindgen
    CC_wasm32_unknown_unknown=$(wasm_compiler)
    export CC_wasm32_unknown_unknown
    # What changes while the build goes on is for the next one, so its time is when it began.
    touch "$logs/build-began"
    step build-squall "building squall" in_root cargo "${build_command[@]}" || fail "the build failed"
    step build-bundle "building the browser client" build_bundle || fail "the build failed"
    touch -r "$logs/build-began" "$target/bundle/.built"
}

in_root() { (cd "$root" && CARGO_TARGET_DIR=$target "$@"); }

# The pages and, in pkg/, the browser client as a WebAssembly module with its JavaScript.
build_bundle() {
    local next=$target/bundle.next
    in_root cargo build --locked --release -p squall-client-wasm --target wasm32-unknown-unknown || return
    rm -rf "$next"
    mkdir "$next"
    cp -R "$root/www/." "$next" || return
    "$(wasm_bindgen_folder)/wasm-bindgen" --target web --no-typescript --out-name client_wasm \
        --out-dir "$next/pkg" \
        "$target/wasm32-unknown-unknown/release/squall_client_wasm.wasm" || return
    rm -rf "$target/bundle"
    mv "$next" "$target/bundle"
}
