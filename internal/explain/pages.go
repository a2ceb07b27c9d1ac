//go:build linux

package explain

import (
	"embed"
	"strings"
)

//go:embed pages/*.md
var pages embed.FS

// Page returns what there is to say of a code, "" if it is none.
func Page(code string) string {
	b, err := pages.ReadFile("pages/" + code + ".md")
	if err != nil {
		return ""
	}
	return string(b)
}

// PageTitle is the first line of a code's page, without the code.
func PageTitle(code string) string {
	line, _, _ := strings.Cut(Page(code), "\n")
	return strings.TrimPrefix(line, "# "+code+": ")
}
