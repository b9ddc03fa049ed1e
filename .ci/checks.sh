# shellcheck shell=bash
# Sourced by run and full: the checks.

sources() { git ls-files --cached --others --exclude-standard -- "$@"; }

jobs=$(nproc)

# The warnings of the whole tree are errors in the build that ./check tests.
check_with_warnings_as_errors() {
  configure build -Dwerror=true
  run ./check
}

# AddressSanitizer and UndefinedBehaviorSanitizer, with asserts, on one instruction set.
check_sanitized() {
  configure build-asan -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 -Ddebug=false \
    -Dcpp_args='-g1 -fno-omit-frame-pointer -fno-sanitize-recover=all' -Db_ndebug=false \
    -Dsimd=avx2 -Dexamples=false -Dbenchmarks=false
  run meson compile -C build-asan
  UBSAN_OPTIONS=print_stacktrace=1 run meson test -C build-asan --suite unit --no-rebuild --print-errorlogs \
    --timeout-multiplier 3
}

# The library and the examples; the tests come with the full matrix.
check_clang_syntax() {
  local compiler=$1
  if [ ! -f "build-$compiler/build.ninja" ]; then
    CXX=$compiler run meson setup "build-$compiler" -Dwerror=true -Doptimization=0 -Dsimd=avx512 -Dtests=false \
      -Dbenchmarks=false
  fi
  run python3 .ci/syntax.py "build-$compiler" --jobs "$jobs"
}

check_format() {
  sources '*.cpp' '*.h' | xargs -d '\n' -r clang-format-16 --dry-run -Werror
}

# Nothing in the tree names a folder of the machine that it was written on.
check_paths() {
  ! git grep --untracked -nIE '(^|[^[:alnum:]_./-])/(work|root|home)/'
}

steps_of_run() {
  step "packages" require g++ meson ninja-build pkg-config libxsimd-dev catch2 python3 binutils graphviz clang-16 clang-format-16
  step "format" check_format
  step "paths" check_paths
  step "check, warnings as errors" check_with_warnings_as_errors
  step "quickstart" ./quickstart
  step "clang++-16 syntax" check_clang_syntax clang++-16
  step "ASan and UBSan" check_sanitized
}
