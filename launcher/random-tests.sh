# shellcheck shell=bash
# The random tests at new seeds, for as long as is asked for. Sourced by ./squall after self-test.sh, whose
# steps it uses: this is the longer run; the self-test itself says the same to everybody.

USAGE=64

usage() {
    say "self-test takes nothing, or --firefox, or --sdks, or --random and a duration such as 90s, 30m or 2h"
    exit "$USAGE"
}

# random_seconds DURATION: 90s, 30m or 2h in seconds; fails if it is none.
random_seconds() {
    [[ $1 =~ ^([1-9][0-9]{0,5})([smh])$ ]] || return 1
    case ${BASH_REMATCH[2]} in
        s) echo "${BASH_REMATCH[1]}" ;;
        m) echo $((BASH_REMATCH[1] * 60)) ;;
        h) echo $((BASH_REMATCH[1] * 3600)) ;;
    esac
}

# The test programs whose histories are random, as arguments for cargo: --test NAME, or --lib.
random_targets() {
    local file
    while read -r file; do
        case $file in
            */tests/*/main.rs) printf -- '--test\n%s\n' "$(basename "$(dirname "$file")")" ;;
            */tests/*.rs) printf -- '--test\n%s\n' "$(basename "$file" .rs)" ;;
            *) printf -- '--lib\n' ;;
        esac
    done < <(cd "$root" && grep -rlE --include='*.rs' '^ *proptest! \{|= random_seed\(\)' -- */tests */src | sort)
}

# random_tests SECONDS: rounds of all random tests and of a storm, each round at a new seed, until the time
# is over. What fails is told with its seed; proptest writes it down beside the tests as well.
random_tests() {
    local until=$((SECONDS + $1)) seed workload round=0 targets
    local workloads=(ledger mww list-append gset counter)
    results=$target/random-tests
    rm -rf "$results"
    mkdir -p "$results"
    passed=0 failed=0 summary=()
    mapfile -t targets < <(random_targets | awk '/^--lib$/ { if (lib++) next } { print }')
    [[ ${#targets[@]} -gt 0 ]] || fail "no random tests were found: is this squall's repository?"
    while [[ $round -eq 0 || $SECONDS -lt $until ]]; do
        seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
        workload=${workloads[round % ${#workloads[@]}]}
        round=$((round + 1))
        tests "random tests, seed $seed" env PROPTEST_RNG_SEED="$seed" \
            cargo test --locked --release --workspace "${targets[@]}" --no-fail-fast
        check "storm, seed $seed" "$target/release/squall" run --seed "$seed" --time 10s --workload "$workload" \
            --output "$results/runs"
    done
    summarize
    [[ $failed -eq 0 ]] || {
        say "to repeat a round: PROPTEST_RNG_SEED=SEED cargo test --release --workspace; what proptest wrote down" \
            "belongs in the repository:"
        (cd "$root" && git status --short -- '*.proptest-regressions' >&2) || true
        return 1
    }
}
