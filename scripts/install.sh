#!/bin/sh
# Make a virtual environment and install this project into it: install.sh FOLDER EXTRAS, such as
# install.sh .venv '' or install.sh .venv '[test]'. By uv, which is ten times as fast; by pip where uv cannot be had.
set -eu
python="$1/bin/python"
[ -x "$python" ] || "${PYTHON:-python3}" -m venv "$1"
pip() { "$python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@"; }
# where Python may not keep what it compiles, it is compiled now: else each start would compile it again
compiled=${PYTHONDONTWRITEBYTECODE:+--compile-bytecode}
uv() { "$python" -m uv pip install --quiet --python "$python" $compiled --constraint constraints.txt "$@"; }
[ -n "${NO_UV:-}" ] || pip uv 2>/dev/null || true
if [ -n "${NO_UV:-}" ] || ! uv --editable ".$2" 2>/dev/null; then
  pip --editable ".$2"
fi
