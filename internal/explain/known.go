//go:build linux

package explain

import "github.com/efd-go/efd/internal/ktrace/strace"

// known has the properties of a call that follow from its name.
type known struct {
	name     string
	set      bool
	handler  handler
	class    class
	varies   bool // class is by its arguments
	concerns bool
	proves   bool // it succeeds on one kind of file alone
	native   bool // it is no sign of another machine
}

// knownCalls has the calls that come most, so that a call needs no look into
// maps.
type knownCalls [64]known

func (k *knownCalls) of(name string) *known {
	at := &k[0]
	if name != "" {
		at = &k[(len(name)*8+int(name[0]))&(len(k)-1)]
	}
	if at.name != name || !at.set {
		*at = known{name: name, set: true, handler: handlerOf(name), class: classOf(&strace.Call{Name: name}), varies: varies(name),
			concerns: Concerns(name), proves: proofs[name] != "", native: !elsewhere(name)}
	}
	return at
}

// varies reports whether classOf needs the arguments of a call.
func varies(name string) bool {
	switch name {
	case "futex", "futex_time64", "wait4", "waitpid", "waitid", "ioctl":
		return true
	}
	return false
}

func (x *Explainer) classOf(c *strace.Call) class {
	if k := x.known.of(c.Name); !k.varies {
		return k.class
	}
	return classOf(c)
}
