#!/bin/sh
# Install the system packages that are missing (Debian, Ubuntu), or print the one line that does.
#
#   sh tools/system.sh PYTHON [EXTRA...]
#
# PYTHON is the interpreter that makes the environment, EXTRA an extra of setup.py that is installed into it.
# Packages are installed as root or by a sudo that asks for no password. Otherwise the line to run is printed
# and the status is 2.
set -eu

python=$1
shift
missing=

fail() {
    echo "$*" >&2
    exit 2
}

# Whether the system's loader finds a library.
has_library() {
    "$python" -c "import ctypes; ctypes.CDLL('$1')" 2>/dev/null
}

need() {
    missing="$missing $1"
}

command -v "$python" >/dev/null ||
    fail "there is no $python: install Python 3.8 to 3.12 (apt-get install python3), or name one with make PYTHON=..."
"$python" -c "import sys; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 12))" ||
    fail "$python is not a Python 3.8 to 3.12: name one with make PYTHON=..."

version=$("$python" -c "import sys; print('%d.%d' % sys.version_info[:2])")
"$python" -c "import ensurepip, venv" 2>/dev/null || need "python$version-venv"
has_library libgomp.so.1 || need libgomp1 # MXNet
has_library libquadmath.so.0 || need libquadmath0
case " $* " in
*" gluoncv "*) # its OpenCV
    has_library libGL.so.1 || need libgl1
    has_library libgthread-2.0.so.0 || need libglib2.0-0
    ;;
esac
# Pictures: from Python 3.11 on, pip installs what draws them without dot.
case $version in
3.8 | 3.9 | 3.10) command -v dot >/dev/null || need graphviz ;;
esac

[ -n "$missing" ] || exit 0
install="apt-get install -y --no-install-recommends$missing"
command -v apt-get >/dev/null || fail "install what these packages of Debian contain:$missing"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    fail "system packages are missing; run: sudo $install"
fi
echo "Installing system packages:$missing"
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive $install -qq -o Dpkg::Use-Pty=0 >/dev/null
