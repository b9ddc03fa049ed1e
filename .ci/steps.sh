# shellcheck shell=bash
# Sourced by run and full: counts steps that passed and failed, and goes on after a failure.

passed=0
failed=0
failures=()

# step NAME COMMAND...: runs a command or function as one step.
step() {
  local name=$1 start=$SECONDS status=0
  shift
  printf '\n=== %s\n' "$name"
  # In a shell of its own, so that a function stops at its first failing command.
  (set -e; "$@") & wait $! || status=$?
  if [ $status -eq 0 ]; then
    passed=$((passed + 1))
    printf '=== %s: passed (%d s)\n' "$name" $((SECONDS - start))
  else
    failed=$((failed + 1))
    failures+=("$name")
    printf '=== %s: FAILED with status %d (%d s)\n' "$name" "$status" $((SECONDS - start))
  fi
}

# Ends the script: the failed steps, then the counts as the last line.
finish() {
  printf '\n'
  if [ $failed -gt 0 ]; then printf 'failed: %s\n' "${failures[@]}"; fi
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ $failed -eq 0 ]
}
