#!/bin/sh
# Compares the interface of the packages with that of the last tag, or, while there
# is none, with the one recorded in docs/api. An incompatible change is a failure.
# UPDATE=1 records the present interface.
set -eu
cd "$(dirname "$0")/../.."
tool=golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4
dir=$(mktemp -d)
trap 'rm -rf "$dir"; git worktree prune' EXIT
if ! GOBIN="$dir" go install "$tool" 2>"$dir/why"; then
	echo "api: skipped: $tool cannot be fetched or built: $(tail -n 1 "$dir/why")"
	exit 0
fi
module=github.com/efd-go/efd
base=docs/api
tag=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
if [ -n "${UPDATE:-}" ]; then
	# The record has the positions of the source; this directory's name is replaced by
	# one of the same length, which the format needs.
	masked=$(pwd | LC_ALL=C sed 's|[^/]|x|g')
	for p in efd efdtest; do
		"$dir/apidiff" -w "$base/$p.export" "$module$([ $p = efd ] || echo "/$p")"
		LC_ALL=C sed -i "s|$(pwd)|$masked|g" "$base/$p.export"
	done
	exit 0
fi
if [ -n "$tag" ]; then
	base=$dir
	git worktree add -q --detach "$dir/tree" "$tag"
	for p in efd efdtest; do (cd "$dir/tree" && "$dir/apidiff" -w "$dir/$p.export" "$module$([ $p = efd ] || echo "/$p")"); done
fi
status=0
for p in efd efdtest; do
	changes=$("$dir/apidiff" -incompatible "$base/$p.export" "$module$([ $p = efd ] || echo "/$p")")
	if [ -n "$changes" ]; then
		printf 'api: %s differs from %s:\n%s\n' "$p" "${tag:-the record in docs/api}" "$changes"
		status=1
	fi
done
[ $status -ne 0 ] || echo "api: compatible with ${tag:-the record in docs/api}"
exit $status
