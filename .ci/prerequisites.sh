#!/bin/sh
# Prints the first thing that this machine lacks for a target of the Makefile and how to get it, in
# one line; prints nothing where all is there.
# Usage: .ci/prerequisites.sh python|rust|lint ...   (PYTHON names the interpreter, python3 by default)
set -u
python=${PYTHON:-python3}
root=$(dirname "$0")/..

lacks() {
    echo "$1"
    exit 1
}

python() {
    command -v "$python" >/dev/null 2>&1 ||
        lacks "$python is missing; install Python 3.10 or newer (Debian, Ubuntu: apt install python3 python3-venv)"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
        lacks "$python is older than Python 3.10; install a newer one and name it: make PYTHON=python3.12"
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        lacks "$python has no venv module; install it (Debian, Ubuntu: apt install python3-venv)"
}

rust() {
    command -v cc >/dev/null 2>&1 ||
        lacks "cc, a C compiler, is missing; install one (Debian, Ubuntu: apt install gcc libc6-dev)"
    echo '#include <stdlib.h>' | cc -E - >/dev/null 2>&1 ||
        lacks "cc finds no C headers; install them (Debian, Ubuntu: apt install libc6-dev)"
    command -v cargo >/dev/null 2>&1 ||
        lacks "cargo is missing; install Rust from https://rustup.rs"
    wanted=$(sed -n 's/^rust-version *= *"\(.*\)"$/\1/p' "$root/Cargo.toml")
    found=$(cd "$root" && cargo --version | sed 's/^cargo \([0-9]*\.[0-9]*\).*/\1/')
    [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
        lacks "cargo $found is older than Rust $wanted; run rustup update, or install Rust from https://rustup.rs"
}

lint() {
    for component in fmt clippy; do
        cargo "$component" --version >/dev/null 2>&1 ||
            lacks "cargo $component is missing; run rustup component add rustfmt clippy"
    done
}

for need in "$@"; do
    case $need in
        python | rust | lint) "$need" ;;
        *) lacks "$0 knows python, rust and lint, not $need" ;;
    esac
done
