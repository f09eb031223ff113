#!/bin/sh
# Debian packages that a bare machine lacks: venv for the named Python, and EGL with Mesa, by which VTK draws without a
# screen. Without EGL everything still works, but pictures are then drawn by matplotlib. (Xcursor is only there because
# VTK warns where it is missing.)
set -u
python=${1:-python3}

missing=""
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
ldconfig -p 2>/dev/null | grep -q 'libEGL\.so\.1' || missing="$missing libegl1"
ls /usr/lib/*/libEGL_mesa.so.0 >/dev/null 2>&1 || missing="$missing libegl-mesa0 libgl1-mesa-dri"
ldconfig -p 2>/dev/null | grep -q 'libXcursor\.so\.1' || missing="$missing libxcursor1"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing the system packages$missing"
    # shellcheck disable=SC2086
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi || echo "These system packages could not be installed:$missing"

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Python's venv module is missing. On Debian: apt-get install python3-venv" >&2
    exit 1
fi
exit 0
