//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// cpioEntry is what the kernel's unpacker (init/initramfs.c) sees of an entry.
type cpioEntry struct {
	mode, major, minor uint64
	data               string
}

// readCpio reads archives as the kernel does: several in a row, zeros between them.
func readCpio(t *testing.T, b []byte) map[string]cpioEntry {
	t.Helper()
	entries := map[string]cpioEntry{}
	for at := 0; at < len(b); {
		if b[at] == 0 {
			at++
			continue
		}
		if at%4 != 0 || string(b[at:at+6]) != "070701" {
			t.Fatalf("no header at byte %d: %q", at, b[at:min(at+6, len(b))])
		}
		field := func(i int) uint64 {
			v, err := strconv.ParseUint(string(b[at+6+8*i:at+14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		size, nameLen := int(field(6)), int(field(11))
		name := string(b[at+110 : at+110+nameLen-1])
		body := (at + 110 + nameLen + 3) &^ 3
		entries[name] = cpioEntry{field(1), field(9), field(10), string(b[body : body+size])}
		at = (body + size + 3) &^ 3
		if name == "TRAILER!!!" {
			continue
		}
	}
	return entries
}

func TestCpio(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, "deep/er"), 0o755)
	os.WriteFile(filepath.Join(dir, "deep/er/tool"), []byte("12345"), 0o755)
	var out bytes.Buffer
	c := newCpio(&out)
	c.dir("tmp")
	c.char("dev/console", 0o600, 5, 1)
	c.bytes("a", 0o644, []byte("xyz"))
	if err := c.tree("t", dir); err != nil {
		t.Fatal(err)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	first := out.Len()
	second := newCpio(&out)
	second.pad(first)
	second.bytes("mod/x.ko", 0o644, []byte("m"))
	if err := second.close(); err != nil {
		t.Fatal(err)
	}
	got := readCpio(t, out.Bytes())
	for name, want := range map[string]cpioEntry{
		"tmp":            {0o041777, 0, 0, ""},
		"dev":            {0o040755, 0, 0, ""},
		"dev/console":    {0o020600, 5, 1, ""},
		"a":              {0o100644, 0, 0, "xyz"},
		"t/deep":         {0o040755, 0, 0, ""},
		"t/deep/er/tool": {0o100755, 0, 0, "12345"},
		"mod/x.ko":       {0o100644, 0, 0, "m"},
	} {
		if got[name] != want {
			t.Errorf("%s: %+v, want %+v", name, got[name], want)
		}
	}
}
