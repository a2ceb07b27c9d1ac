//go:build linux

package render

import "testing"

func TestSourceURL(t *testing.T) {
	for _, c := range []struct {
		kernel, file string
		line         int
		want         string
	}{
		{"6.18.44-1-amd64", "fs/eventfd.c", 247, "https://elixir.bootlin.com/linux/v6.18/source/fs/eventfd.c#L247"},
		{"5.4", "fs/select.c", 0, "https://elixir.bootlin.com/linux/v5.4/source/fs/select.c"},
		{"", "fs/select.c", 1, ""},
		{"6.1", "", 1, ""},
	} {
		if got := SourceURL(c.kernel, c.file, c.line); got != c.want {
			t.Errorf("SourceURL(%q, %q, %d) = %q, want %q", c.kernel, c.file, c.line, got, c.want)
		}
	}
}
