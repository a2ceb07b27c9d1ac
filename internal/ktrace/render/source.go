//go:build linux

package render

import (
	"fmt"
	"net/url"

	"github.com/efd-go/efd/internal/ktrace"
)

// SourceURL is a page that shows one line of one version of the kernel's
// source. Stable and vendor releases are shown by their series, which is what
// public source browsers have for certain. It is "" without a usable version.
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
