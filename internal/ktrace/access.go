//go:build linux

package ktrace

// AccessError says what keeps a source from working here, and the smallest
// change that would let it.
type AccessError struct {
	Tier    string // as EFD_REQUIRE and doctor name it: "perf", "tracefs", "kallsyms", "watch", "ftrace", "text"
	Missing string // what is missing, one clause
	Change  string // what to do about it, one clause; "" where nothing can be done on this kernel
	Root    bool   // root has it
	Silent  bool   // the kernel gives it, and nothing comes of it
	Err     error  // what the kernel said
}

// Error is one sentence.
func (e *AccessError) Error() string {
	if e.Change == "" {
		return e.Missing
	}
	return e.Missing + "; " + e.Change
}

func (e *AccessError) Unwrap() error { return e.Err }
