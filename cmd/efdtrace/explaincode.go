//go:build linux

package main

import (
	"fmt"
	"strings"

	"github.com/efd-go/efd/internal/explain"
)

// explainCode prints the page of a warning, or lists all of them.
func explainCode(e *env, code string, args []string) int {
	if len(args) > 0 {
		fmt.Fprintf(e.stderr, "efdtrace explain: -code takes no FILE: %s\n", args[0])
		return exitUsage
	}
	if code == "list" {
		for _, c := range explain.Codes() {
			fmt.Fprintf(e.stdout, "%-20s %s\n", c, explain.PageTitle(c))
		}
		return exitOK
	}
	page := explain.Page(code)
	if page == "" {
		fmt.Fprintf(e.stderr, "efdtrace explain: -code %s: there are %s\n", code, strings.Join(explain.Codes(), " "))
		return exitUsage
	}
	fmt.Fprint(e.stdout, plainPage(page))
	return exitOK
}

// plainPage is a page as a terminal shows it.
func plainPage(page string) string {
	return strings.NewReplacer("**", "", "`", "", "# ", "").Replace(page)
}
