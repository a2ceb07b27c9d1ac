//go:build linux

// Command probe prints the facilities that tests can use on this machine, as
// EFD_REQUIRE takes them: "perf,tracefs,kallsyms,watch". It tries each one by
// system calls of its own and shares no code with the tested packages, so that
// a machine without the facility fails no test, and a product that no longer
// finds it does. On standard error it names the missing ones, with the reasons.
package main

import (
	"fmt"
	"os"
	"strings"
)

// tiers are the facilities to try, each after its requirements.
var tiers = []struct {
	name string
	on   []string
	try  func(*machine) error
}{
	{"root", nil, (*machine).root},
	{"kallsyms", nil, (*machine).kallsyms},
	{"btf", nil, (*machine).btf},
	{"text", []string{"kallsyms"}, (*machine).text},
	{"tracefs", nil, (*machine).tracefs},
	{"perf", []string{"kallsyms", "tracefs"}, (*machine).tracepoint},
	{"watch", []string{"perf"}, (*machine).watchpoint},
	{"bpf", []string{"kallsyms", "btf"}, (*machine).iterators},
	{"ftrace", []string{"tracefs"}, (*machine).functions},
	{"kvm", nil, (*machine).kvm},
	{"vhost", nil, (*machine).vhost},
	{"uinput", nil, (*machine).uinput},
}

// machine holds the results of one tier that another uses.
type machine struct {
	function uint64 // the address of one in the kernel
	tracing  int    // a descriptor of the tracing file system's root
}

func main() {
	m := &machine{tracing: -1}
	var found []string
	missing := map[string]bool{}
	for _, tier := range tiers {
		err := m.lacks(tier.on, missing)
		if err == nil {
			err = tier.try(m)
		}
		if err != nil {
			missing[tier.name] = true
			fmt.Fprintf(os.Stderr, "no %s: %v\n", tier.name, err)
			continue
		}
		found = append(found, tier.name)
	}
	fmt.Println(strings.Join(found, ","))
}

func (*machine) lacks(on []string, missing map[string]bool) error {
	for _, name := range on {
		if missing[name] {
			return fmt.Errorf("rests on %s", name)
		}
	}
	return nil
}
