//go:build linux

package testenv

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Tree skips a test that reads directories of the repository which do not
// exist. The large ones have a go.mod of their own and stay out of the module's
// zip, so that the module cache has the tests and not their data. A test of
// internal/house checks that a clone has all of them.
func Tree(t testing.TB, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		if _, err := os.Stat(d); errors.Is(err, fs.ErrNotExist) {
			t.Skipf("needs a clone of the repository: %s is not in the module's zip", filepath.ToSlash(d))
		}
	}
}
