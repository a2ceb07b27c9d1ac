//go:build linux

package ktrace

// AccessError names the obstacle of a source here, and the smallest change that
// removes it.
type AccessError struct {
	Tier    string // as EFD_REQUIRE and doctor name it: "perf", "tracefs", "kallsyms", "watch", "ftrace", "text"
	Missing string // the missing thing, one clause
	Change  string // the remedy, one clause; "" if there is none on this kernel
	Root    bool   // root has it
	Silent  bool   // the kernel gives it, and nothing comes of it
	Err     error  // the kernel's error
}

// Error is one sentence.
func (e *AccessError) Error() string {
	if e.Change == "" {
		return e.Missing
	}
	return e.Missing + "; " + e.Change
}

func (e *AccessError) Unwrap() error { return e.Err }
