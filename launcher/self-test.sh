# shellcheck shell=bash
# squall's own tests. Sourced by ./squall after set-up, which sets these:
: "${target:?the folder of cargo}"

# What a step may take at most, in seconds: a hang must end, a slow machine must not fail. The compiler
# has a limit of its own, so that tests are not charged for it.
COMPILE_LIMIT=7200
STEP_LIMIT=2400

self_test() {
    begin
    local release=(--locked --release) wasm=(--target wasm32-unknown-unknown)
    check "format" cargo fmt --all --check
    local limit=$COMPILE_LIMIT
    check "clippy" cargo clippy "${release[@]}" --workspace --all-targets -- -D warnings
    check "clippy for WebAssembly" cargo clippy "${release[@]}" "${wasm[@]}" \
        -p squall-client-wasm -p squall-client-core -p squall-checker -p squall-models \
        -p squall-protocol -- -D warnings
    check "tests, compiled" cargo test "${release[@]}" --workspace --no-run
    check "tests in a browser, compiled" cargo test "${release[@]}" "${wasm[@]}" -p squall-client-wasm --no-run
    limit=$STEP_LIMIT
    tests "tests" bash launcher/test-programs.sh "$results/programs" \
        cargo test "${release[@]}" --workspace --no-fail-fast --lib --bins --tests
    tests "tests in documentation" cargo test "${release[@]}" --workspace --no-fail-fast --doc
    tests "tests in a browser" env \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER="$(wasm_bindgen_folder)/wasm-bindgen-test-runner" \
        CHROMEDRIVER="${SQUALL_CHROMEDRIVER:-$(command -v chromedriver)}" WASM_BINDGEN_TEST_TIMEOUT=120 \
        cargo test "${release[@]}" "${wasm[@]}" -p squall-client-wasm --no-fail-fast
    check "doctor" "$target/release/squall" doctor
    check "the launcher in odd surroundings" odd_surroundings
    check "nothing left running" nothing_left_running

    summarize
    [[ $failed -eq 0 ]]
}

# The tests in Firefox, which are ignored where nobody asks for them.
firefox_tests() {
    begin
    local limit=$COMPILE_LIMIT targets=(--workspace --lib --test faults --test storms)
    check "tests, compiled" cargo test --locked --release "${targets[@]}" --no-run
    limit=$STEP_LIMIT
    tests "tests in Firefox" cargo test --locked --release "${targets[@]}" --no-fail-fast -- --ignored firefox
    check "nothing left running" nothing_left_running
    summarize
    [[ $failed -eq 0 ]]
}

# The tests of the client on the SDK for Rust, and of all SDKs in one fleet.
sdk_tests() {
    begin
    local limit=$COMPILE_LIMIT targets=(--test conform --test storms) crate=$root/clients/powersync-rust
    local own=("CARGO_TARGET_DIR=$target/clients/powersync-rust/target")
    check "format of the client in Rust" cargo fmt --check --manifest-path "$crate/Cargo.toml"
    check "clippy of the client in Rust" env "${own[@]}" cargo clippy --locked --release \
        --manifest-path "$crate/Cargo.toml" -- -D warnings
    check "tests, compiled" cargo test --locked --release -p squall-coordinator "${targets[@]}" --no-run
    limit=$STEP_LIMIT
    tests "tests of the SDKs" cargo test --locked --release -p squall-coordinator "${targets[@]}" --no-fail-fast -- \
        --ignored sdk
    check "nothing left running" nothing_left_running
    summarize
    [[ $failed -eq 0 ]]
}

begin() {
    results=$target/self-test
    rm -rf "$results"
    mkdir -p "$results"
    passed=0 failed=0 summary=()
    # Every process that descends from here carries this, so that what is left over can be told from
    # other people's processes.
    export SQUALL_SELF_TEST=$$-$RANDOM
    # Most tests wait for processes, browsers and deadlines, and not for the processor.
    export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
}

# check NAME COMMAND...: one test, which passes if the command succeeds.
check() {
    local name=$1
    shift
    if limited "$name" "$@"; then record "$name" 1 0; else record "$name" 0 1; fi
}

# tests NAME COMMAND...: a command that prints Rust's "test result" lines, one for each program.
tests() {
    local name=$1 good bad result=0
    shift
    limited "$name" "$@" || result=$?
    read -r good bad < <(awk '/^test result: /{ good += $4; bad += $6 } END { print good + 0, bad + 0 }' "$log")
    # It may fail without a failing test: a program that does not compile, or crashes.
    if [[ $result -ne 0 && $bad -eq 0 ]]; then bad=1; fi
    record "$name" "$good" "$bad"
}

# limited NAME COMMAND...: runs it in the repository, at most $limit seconds, with its output in a log;
# sets log and took.
limited() {
    local name=$1 limit=${limit:-$STEP_LIMIT} began=$SECONDS result=0
    shift
    log=$results/${name//[^A-Za-z0-9]/-}.log
    tell 'squall: %-36s ' "$name"
    # The shell's own functions can not be given to timeout; those have limits of their own.
    if [[ $(type -t "$1") == function ]]; then
        in_root "$@" >"$log" 2>&1 </dev/null || result=$?
    else
        in_root timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null || result=$?
        [[ $result -ne 124 ]] || echo "not done after $limit s" >>"$log"
    fi
    took=$((SECONDS - began))
    return "$result"
}

record() {
    local name=$1 good=$2 bad=$3 line
    passed=$((passed + good)) failed=$((failed + bad))
    printf -v line '%-36s %4d passed %4d failed %5d s' "$name" "$good" "$bad" "$took"
    summary+=("$line")
    if [[ $bad -eq 0 ]]; then
        tell 'ok, %d s\n' "$took"
    else
        tell 'FAILED, %d s\n%s\n' "$took" "$(excerpt "$log" | sed 's/^/    /')"
        say "all of it is in $log"
    fi
}

# What a reader wants to see of a failed step's log: what failed tests said, else its end.
excerpt() {
    if grep -q '^failures:$' "$1"; then
        sed -n '/^failures:$/,/^test result: /p' "$1" | head -n 80
    else
        tail -n 40 "$1"
    fi
}

summarize() {
    printf '\n'
    printf '%s\n' "${summary[@]}"
    printf '%d passed, %d failed\n' "$passed" "$failed"
}

# Streams that are closed, full or unread, settings of somebody's own, another folder and a symbolic link.
odd_surroundings() {
    local link=$results/squall-link launch
    ln -sf "$root/squall" "$link"
    launch=(env -u HOME "CARGO_TARGET_DIR=$target" CARGO_BUILD_TARGET=wasm32-unknown-unknown RUSTFLAGS=--nonsense
        CARGO_PROFILE_RELEASE_DEBUG=nonsense CDPATH=/:/usr POSIXLY_CORRECT=1 GREP_OPTIONS=--nonsense TMPDIR=
        XDG_CACHE_HOME= SQUALL_LOG= SQUALL_CHROMIUM= SQUALL_DATABASE_URL= "$link")
    cd /usr
    "${launch[@]}" --version | grep -q '^squall ' || return
    "${launch[@]}" --version >&- 2>&- <&- || return
    "${launch[@]}" --version 2>/dev/full || return
    ! "${launch[@]}" --version >/dev/full || return
    "${launch[@]}" run --help 2>&1 | head -n 1 >/dev/null || return
    # What says something must not end by it.
    (say something; step odd something true) 2>/dev/full || return
    (say something; step odd something true) 2>&- || return
    (trap '' PIPE; say something; step odd something true) 2> >(:) || return
    [[ $(say heard 2>&1) == "squall: heard" ]]
}

# Fails, names and ends whatever still runs of what the tests have started.
nothing_left_running() {
    local deadline=$((SECONDS + 5)) left
    left=$(left_running)
    # The kernel may still be taking killed processes apart.
    while [[ -n $left && $SECONDS -lt $deadline ]]; do
        sleep 0.2
        left=$(left_running)
    done
    [[ -n $left ]] || return 0
    # shellcheck disable=SC2086 # one pid a word
    ps -o pid,ppid,stat,etime,args -p ${left//$'\n'/ } || true
    # shellcheck disable=SC2086
    kill -KILL $left
    return 1
}

# The ids of the marked processes. The shell itself is not one: the mark counts for what was started
# after it was set. Zombies have no environment any more.
left_running() {
    local folder
    for folder in /proc/[0-9]*; do
        if tr '\0' '\n' <"$folder/environ" 2>/dev/null | grep -qx "SQUALL_SELF_TEST=$SQUALL_SELF_TEST"; then
            echo "${folder#/proc/}"
        fi
    done
} 2>/dev/null
