#!/bin/sh
# Prints the first Python >= 3.11 that can make virtual environments; says what to install if there is none.
# $PYTHON, if set, is the only one tried.
set -eu

usable() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    if usable "$name"; then
        echo "$name"
        exit 0
    fi
done
echo "wirewright needs Python 3.11 or newer with its venv module; looked for: ${PYTHON:-python3, python3.14 ... python3.11}." >&2
echo "Install it (Debian, Ubuntu: apt-get install python3 python3-venv), or name one: make PYTHON=/path/to/python3" >&2
exit 1
