#!/bin/sh
# Debian packages that a bare machine lacks: venv for the named Python; EGL with Mesa, by which VTK draws without a screen
# (without it everything still works, but pictures are then drawn by matplotlib); CMake, which installs the extension for
# its tests; and what Qt needs to show the panel without a screen, with a font. (Xcursor is only there because VTK warns
# where it is missing.) Last comes dciodvfy, by which tests judge DICOM files: without it they look at less.
set -u
python=${1:-python3}

missing=""
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
ls /usr/lib/*/libEGL_mesa.so.0 >/dev/null 2>&1 || missing="$missing libegl-mesa0 libgl1-mesa-dri"
command -v cmake >/dev/null 2>&1 || missing="$missing cmake"
ls /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf >/dev/null 2>&1 || missing="$missing fonts-dejavu-core"
while read -r library package; do
    ldconfig -p 2>/dev/null | grep -q "$library" || missing="$missing $package"
done <<END
libEGL\.so\.1 libegl1
libGL\.so\.1 libgl1
libXcursor\.so\.1 libxcursor1
libfontconfig\.so\.1 libfontconfig1
libfreetype\.so\.6 libfreetype6
libglib-2\.0\.so\.0 libglib2.0-0
libgssapi_krb5\.so\.2 libgssapi-krb5-2
libxkbcommon\.so\.0 libxkbcommon0
libdbus-1\.so\.3 libdbus-1-3
END
judge=""
command -v dciodvfy >/dev/null 2>&1 || judge="dicom3tools"
[ -z "$missing$judge" ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing the system packages$missing $judge"
    apt-get update -qq
    if [ -n "$judge" ]; then # by itself, since some distributions lack it
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$judge" >/dev/null || echo "No $judge"
    fi
    # shellcheck disable=SC2086
    [ -z "$missing" ] ||
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    [ -z "$missing" ]
fi || echo "These system packages could not be installed:$missing"

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Python's venv module is missing. On Debian: apt-get install python3-venv" >&2
    exit 1
fi
exit 0
