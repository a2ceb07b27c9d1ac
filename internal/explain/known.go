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
	native   bool   // it is no sign of another machine
	proves   string // the kind of file on which alone it succeeds, "" for any
}

// knownCalls has the calls that come most, so that a call needs no look into
// maps.
type knownCalls [64]known

// of returns the properties of a name. They are valid until another name is
// looked up.
func (k *knownCalls) of(name string) *known {
	at := &k[0]
	if name != "" {
		at = &k[(len(name)*8+int(name[0]))&(len(k)-1)]
	}
	if at.name != name || !at.set {
		*at = known{name: name, set: true, handler: handlerOf(name), class: classOf(&strace.Call{Name: name}), varies: varies(name),
			concerns: Concerns(name), proves: proofs[name], native: !elsewhere(name)}
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

// classOf returns the class of a call of this name.
func (k *known) classOf(c *strace.Call) class {
	if k.varies {
		return classOf(c)
	}
	return k.class
}
