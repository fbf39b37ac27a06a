#!/usr/bin/env bash
# test-programs.sh FOLDER COMMAND...: COMMAND is a `cargo test`, whose programs run some at a time: most tests wait
# for something, and cargo runs one program after the other. What a program prints comes in one piece when it is
# done, and stays in FOLDER. Fails if one fails. Tests in documentation are left to a `cargo test --doc`.
#
# Cargo starts each program by way of a "runner", which is this script again: it only writes down where and what.
set -uo pipefail

AT_ONCE=${SQUALL_TEST_PROGRAMS:-$(nproc)}

case $1 in
--write-down) # FOLDER PROGRAM...: cargo calls in the folder of the package
    printf '%s\t%s\n' "$PWD" "$3" >>"$2/programs"
    exit
    ;;
--run) # FOLDER "WHERE<tab>PROGRAM"
    IFS=$'\t' read -r where program <<<"$3"
    log=$2/${program##*/}.log
    result=0
    (cd "$where" && CARGO_MANIFEST_DIR=$where exec "$program") >"$log" 2>&1 || result=$?
    # By one write, so that programs which end together do not mix.
    printf '%s\n' "
     Ran $program in ${where##*/}: exit code $result
$(<"$log")"
    # Not the code itself: by 255, xargs would leave out the rest.
    exit "$((result != 0))"
    ;;
esac

folder=$1
shift
rm -rf "$folder"
mkdir -p "$folder"
host=$(rustc -vV | sed -n 's/^host: //p')
runner=CARGO_TARGET_${host//-/_}_RUNNER
env "${runner^^}=bash $(realpath "$0") --write-down $folder" "$@" || exit
[[ -s $folder/programs ]] || { echo "cargo started no program"; exit 1; }
# The last ones first: cargo goes by the names of packages, and the coordinator's storms take longest.
tac "$folder/programs" | xargs -d '\n' -P "$AT_ONCE" -n 1 bash "$0" --run "$folder"
