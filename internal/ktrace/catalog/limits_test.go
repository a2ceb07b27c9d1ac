//go:build linux

package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// copied is a directory with the embedded catalogue.
func copied(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("data")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestForeignCatalogue: a catalogue of somebody else's is refused with its
// place, in a short time.
func TestForeignCatalogue(t *testing.T) {
	add := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteString(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	part := func(name, use string) string { return fmt.Sprintf("path %s\n%s", name, use) }
	for name, c := range map[string]struct {
		change func(*testing.T, string)
		want   string
	}{
		"itself": {add("parts/entry_x86.txt", "\nuse entry_x86\n"), "uses itself"},
		"each other": {func(t *testing.T, dir string) {
			add("parts/one.txt", part("one", "use two\n"))(t, dir)
			add("parts/two.txt", part("two", "use one\n"))(t, dir)
		}, "uses itself"},
		"nothing": {add("parts/entry_x86.txt", "\nuse\n"), "use needs the name of a part"},
		"doubling": {func(t *testing.T, dir string) {
			add("parts/p0.txt", part("p0", "use entry_x86\n"))(t, dir)
			for i := 1; i < 40; i++ {
				add(fmt.Sprintf("parts/p%d.txt", i), part(fmt.Sprint("p", i), fmt.Sprintf("use p%d\nuse p%d\n", i-1, i-1)))(t, dir)
			}
		}, "with the parts that it uses"},
		"FIFO": {func(t *testing.T, dir string) {
			if err := unix.Mkfifo(filepath.Join(dir, "parts/x.txt"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "parts/x.txt: is not a regular file"},
		"link": {func(t *testing.T, dir string) {
			if err := os.Symlink("/dev/zero", filepath.Join(dir, "parts/x.txt")); err != nil {
				t.Fatal(err)
			}
		}, "parts/x.txt: is not a regular file"},
		"escape":  {add("functions.txt", "\nevil \x1b[2J\n"), `\x1b[2J`},
		"endless": {add("functions.txt", "\nevil text\n"+strings.Repeat("  more and more\n", 100_000)), "more than"},
		"large":   {add("functions.txt", strings.Repeat("#\n", maxFile)), "longer than"},
	} {
		dir := copied(t)
		c.change(t, dir)
		done := make(chan error, 1)
		go func() { _, err := Load(os.DirFS(dir)); done <- err }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%s: %q, want %q", name, err, c.want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: is still being read after 20 s", name)
		}
	}
}

// TestKeywordAlone: a line that ends after its keyword is read or refused.
func TestKeywordAlone(t *testing.T) {
	dir := copied(t)
	for _, file := range []string{"changes.txt", "builds.txt", "proved.txt", "parts/entry_x86.txt"} {
		whole, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"path", "title", "root", "branch", "way", "struct", "correction", "file", "use", "->", "a ->",
			"a -> b [", "use entry_x86 [", "use entry_x86 +", "way a only", "way +", "correction a \"", "[", "+"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(string(whole)+"\n"+text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			func() {
				defer func() {
					if p := recover(); p != nil {
						t.Errorf("%s with a last line %q: panic: %v", file, text, p)
					}
				}()
				if c, err := Load(os.DirFS(dir)); err == nil {
					c.Check()
				}
			}()
		}
		if err := os.WriteFile(filepath.Join(dir, file), whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
