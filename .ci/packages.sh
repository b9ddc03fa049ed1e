# shellcheck shell=bash
# Sourced by quickstart, check and the scripts beside it: runs commands visibly, and installs what is missing.

# run COMMAND...: prints the command, then runs it.
run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  "$@"
}

has() { command -v "$1" >/dev/null 2>&1; }

has_any() {
  local name
  for name in "$@"; do
    if has "$name"; then return 0; fi
  done
  return 1
}

has_library() {
  local name
  has pkg-config || return 1
  for name in "$@"; do
    if pkg-config --exists "$name"; then return 0; fi
  done
  return 1
}

# missing_packages PACKAGE...: prints those of the Debian packages whose contents this machine lacks.
missing_packages() {
  local package
  for package in "$@"; do
    case $package in
      g++) has_any "${CXX:-c++}" g++ clang++ ;;
      ninja-build) has_any ninja ninja-build ;;
      pkg-config) has_any pkg-config pkgconf ;;
      libxsimd-dev) has_library xsimd ;;
      catch2) has_library catch2 catch2-with-main ;;
      binutils) has nm ;;
      graphviz) has dot ;;
      clang-[0-9]*) has "${package/clang-/clang++-}" ;;
      *) has "$package" ;;
    esac || printf '%s\n' "$package"
  done
}

# A command in front of apt-get, or failure when this user may not install anything.
apt_prefix() {
  has apt-get || return 1
  if [ "$(id -u)" -eq 0 ]; then
    echo env
  elif has sudo && [ -t 0 ]; then
    echo sudo
  elif has sudo && sudo -n true 2>/dev/null; then
    echo sudo
  else
    return 1
  fi
}

# require PACKAGE...: installs what is missing. Without apt-get or the rights to use it, it says what is needed, and goes
# on when that is there or Meson can fetch it (libraries, by subprojects/*.wrap); otherwise it fails.
require() {
  local missing prefix package
  has apt-get || echo "There is no apt-get here. Needed, by Debian's names: $*"
  missing=$(missing_packages "$@")
  if [ -z "$missing" ]; then return 0; fi
  # shellcheck disable=SC2086
  echo "Missing:" $missing
  if prefix=$(apt_prefix); then
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { run $prefix apt-get update -qq && run $prefix apt-get install -y -qq --no-install-recommends $missing; } ||
      echo "The installation failed."
    hash -r
    missing=$(missing_packages "$@")
  else
    echo "Not installed: that takes apt-get, and root or sudo."
  fi
  for package in $missing; do
    case $package in
      libxsimd-dev | catch2) echo "Going on without $package: Meson will download it." ;;
      *)
        echo "Cannot go on without $package. Please install it and run this again." >&2
        return 1
        ;;
    esac
  done
}

# configure DIRECTORY [OPTION...]: sets a Meson build directory up, or changes the options of the one that is there.
configure() {
  local directory=$1
  shift
  if [ ! -f "$directory/build.ninja" ]; then
    run meson setup "$directory" "$@"
  elif [ $# -gt 0 ]; then
    run meson configure "$directory" "$@"
  fi
}
