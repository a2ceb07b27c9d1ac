//go:build linux

package render

import (
	"fmt"
	"net/url"

	"github.com/efd-go/efd/internal/ktrace"
)

// SourceURL returns the address of a page that shows one line of one version of
// the kernel's source. It uses the series of stable and vendor releases, which
// public source browsers always have. It is "" without a usable version.
func SourceURL(kernel, file string, line int) string {
	v, err := ktrace.ParseVersion(kernel)
	if err != nil || file == "" {
		return ""
	}
	u := url.URL{Scheme: "https", Host: "elixir.bootlin.com", Path: "/linux/v" + v.Series() + "/source/" + file}
	if line > 0 {
		u.Fragment = fmt.Sprintf("L%d", line)
	}
	return u.String()
}
