# Shared by all scripts: `source` it, then `run_module MODULE ARGUMENT…`.
# It finds the project, makes its environment where none is active, and keeps it up to date.
set -euo pipefail
export PROJECT_ROOT
PROJECT_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# The first Python on the PATH that is new enough; PYTHON=… overrides.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python}; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "no Python 3.10 or newer found${PYTHON:+ (PYTHON=$PYTHON)}: install one, or name it with PYTHON=/path/to/python"
}

# The distributions that a requirements file names and that the given Python lacks.
missing_packages() {
    "$1" - "${@:2}" <<'PYTHON_CODE'
import importlib.metadata, re, sys
for path in sys.argv[1:]:
    for line in open(path, encoding="utf-8"):
        name = re.match(r"[A-Za-z0-9._-]*", line).group()
        if name:
            try:
                importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                print(name, end=" ")
PYTHON_CODE
}

install() {
    local environment="$1" arguments=() file
    shift
    for file in "$@"; do arguments+=(-r "$file"); done
    if command -v uv >/dev/null 2>&1; then
        uv pip install --quiet --python "$environment/bin/python" "${arguments[@]}"
    elif "$environment/bin/python" -m pip install --quiet --disable-pip-version-check uv >&2; then
        "$environment/bin/python" -m uv pip install --quiet --python "$environment/bin/python" "${arguments[@]}"
    else
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "${arguments[@]}"
    fi
}

# Sets PYTHON_BIN. Arguments: the requirements files that must be satisfied.
prepare_environment() {
    local requirements=("$@") active="${VIRTUAL_ENV:-}" missing
    if [[ -z "$active" && -n "${CONDA_PREFIX:-}" && "${CONDA_DEFAULT_ENV:-base}" != base ]]; then
        active="$CONDA_PREFIX"
    fi
    if [[ -n "$active" && -x "$active/bin/python" ]]; then
        PYTHON_BIN="$active/bin/python"
        missing="$(missing_packages "$PYTHON_BIN" "${requirements[@]}")"
        [[ -z "$missing" ]] || fail "the active environment $active lacks ${missing% }: run '$PYTHON_BIN -m pip install" \
            "${requirements[*]/#/-r }', or deactivate it and the script makes its own"
        return
    fi
    local environment="$PROJECT_ROOT/.venv" python wanted stamp
    PYTHON_BIN="$environment/bin/python"
    wanted="$(cat "${requirements[@]}" | cksum)"
    stamp="$environment/.installed-$(basename "${requirements[-1]}")"
    if [[ -x "$PYTHON_BIN" && -f "$stamp" && "$(cat "$stamp")" == "$wanted" ]]; then return; fi
    python="$(find_python)" || exit 2
    # One process installs; others that start meanwhile wait for it.
    exec 9>"$PROJECT_ROOT/.venv.lock"
    if command -v flock >/dev/null 2>&1; then flock 9; fi
    if [[ ! -x "$PYTHON_BIN" || ! -f "$stamp" || "$(cat "$stamp")" != "$wanted" ]]; then
        printf 'Setting up %s (once; a few minutes with downloads) …\n' "$environment" >&2
        [[ -x "$PYTHON_BIN" ]] || "$python" -m venv "$environment" ||
            fail "'$python -m venv' failed: install the venv module of $python (Debian: python3-venv)"
        install "$environment" "${requirements[@]}" ||
            fail "installing ${requirements[*]##*/} failed (see above): check the network, then run the script again"
        printf '%s\n' "$wanted" >"$stamp"
    fi
    exec 9>&-
}

run_python() {
    [[ -n "${PYTHON_BIN:-}" ]] || prepare_environment "$PROJECT_ROOT/requirements.txt"
    PYTHONPATH="$PROJECT_ROOT${PYTHONPATH:+:$PYTHONPATH}" "$PYTHON_BIN" "$@"
}

# DARTS_PT_SCRIPT: the script as it was typed, for --help.
run_module() {
    DARTS_PT_SCRIPT="$0" run_python -m "$@"
}
