//go:build linux

package main

import (
	"encoding/json"
	"flag"
	"fmt"

	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/ktext"
	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/ktrace/tiers"
	"github.com/efd-go/efd/internal/waiters"
)

var doctorCommand = command{name: "doctor", args: "[-json]", short: "what can be observed here, tier by tier, and the smallest change that gives the next one"}

func init() {
	doctorCommand.run = doctor
	commands = append(commands, doctorCommand)
}

// The JSON of doctor is a contract.
type doctorJSON struct {
	Kernel string            `json:"kernel"`
	Arch   string            `json:"arch"`
	Tier   string            `json:"tier"` // the last that is reached without a gap
	Tiers  []tierJSON        `json:"tiers"`
	Facts  map[string]string `json:"facts"`
}

type tierJSON struct {
	Name     string `json:"name"`
	Gives    string `json:"gives"`
	OK       bool   `json:"ok"`
	Opens    bool   `json:"opens"`
	Delivers bool   `json:"delivers"`
	Missing  string `json:"missing"`
	Change   string `json:"change"`
	Detail   string `json:"detail"`
}

func doctor(e *env, args []string) int {
	fs := flag.NewFlagSet("doctor", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "write one JSON object")
	if status, ok := parse(e, fs, doctorCommand, "efdtrace doctor", args); !ok {
		return status
	}
	if fs.NArg() > 0 {
		return e.badUsage("doctor", "%q: takes no arguments", fs.Arg(0))
	}
	report := tiers.Probe(textProbe, waiters.Try)
	var err error
	if *asJSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		err = enc.Encode(doctorReport(report))
	} else {
		writeDoctor(render.NewText(e.stdout, colour(e.stdout)), report)
	}
	if err != nil {
		fmt.Fprintf(e.stderr, "efdtrace doctor: %v\n", err)
		return exitCannot
	}
	return exitOK
}

// textProbe tries whether kernel text can be read.
func textProbe(syms *ksym.Table) (string, error) {
	t, err := ktext.Open(syms)
	if err != nil {
		return "", err
	}
	defer t.Close()
	return t.Source(), nil
}

func doctorReport(r *tiers.Report) doctorJSON {
	out := doctorJSON{Kernel: r.Kernel, Arch: r.Arch, Tier: r.Highest(), Facts: map[string]string{}}
	for _, t := range r.Tiers {
		out.Tiers = append(out.Tiers, tierJSON(t))
	}
	for _, f := range r.Facts {
		out.Facts[f.Name] = f.Value
	}
	return out
}

func writeDoctor(t *render.Text, r *tiers.Report) {
	t.Printf("Linux %s on %s: what efdtrace can observe, run like this.\n\n", r.Kernel, r.Arch)
	for _, tier := range r.Tiers {
		mark := "✓"
		if !tier.OK {
			mark = "–"
		}
		t.Hanging(fmt.Sprintf("%s %s ", mark, t.Bold(fmt.Sprintf("%-16s", tier.Name))), tier.Gives)
		const indent = "                   "
		if tier.Missing != "" {
			t.Hanging(indent+"missing: ", tier.Missing)
		}
		if tier.Change != "" {
			t.Hanging(indent+"change:  ", tier.Change)
		}
	}
	t.Printf("\n")
	for _, f := range r.Facts {
		t.Hanging(t.Dim(fmt.Sprintf("  %-28s ", f.Name)), f.Value)
	}
	t.Printf("\n")
	if next, ok := r.Next(); ok {
		t.Para("", fmt.Sprintf("The next step up is %q: %s.", next.Name, next.Change))
	} else {
		t.Para("", "This is the highest tier that this kernel supports.")
	}
}
