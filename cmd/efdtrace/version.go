//go:build linux

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/catalog"
)

var versionCommand = command{name: "version", args: "[-json]", short: "the version of the module, and the newest reviewed kernel"}

func init() {
	versionCommand.run, completionCommand.run, manCommand.run = version, completion, man
	commands = append(commands, versionCommand, completionCommand, manCommand)
}

// versionJSON is the JSON of version.
type versionJSON struct {
	Version string `json:"version"` // of the module; "(devel)" if it was built from a work tree
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	Arch    string `json:"arch"`
	Paths   int    `json:"paths"`
	Oldest  string `json:"oldest_kernel"` // reviewed
	Newest  string `json:"newest_kernel"`
}

func version(e *env, args []string) int {
	fs := flag.NewFlagSet("version", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "write one JSON object")
	if status, ok := parse(e, fs, versionCommand, "efdtrace version", args); !ok {
		return status
	}
	if fs.NArg() > 0 {
		return e.badUsage("version", "%q: takes no arguments", fs.Arg(0))
	}
	v := thisVersion()
	if *asJSON {
		if err := json.NewEncoder(e.stdout).Encode(v); err != nil {
			return exitCannot
		}
		return exitOK
	}
	commit := ""
	if v.Commit != "" {
		commit = ", commit " + v.Commit
	}
	fmt.Fprintf(e.stdout, "efdtrace %s%s\n%s linux/%s\n%d kernel paths, Linux %s to %s (the newest reviewed kernel)\n",
		v.Version, commit, v.Go, v.Arch, v.Paths, v.Oldest, v.Newest)
	return exitOK
}

func thisVersion() versionJSON {
	c := catalog.Default()
	v := versionJSON{Version: "(devel)", Go: runtime.Version(), Arch: runtime.GOARCH, Paths: len(c.Names())}
	if trees := c.Trees(); len(trees) > 0 {
		v.Oldest, v.Newest = trees[0].Version.String(), trees[len(trees)-1].Version.String()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if strings.HasPrefix(info.Main.Version, "v") {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
