//go:build linux

// Package strace reads the text that strace(1) writes, of any version since
// 4.8 and under any options, line by line and in bounded memory.
//
// No line is lost, changed or fatal: the raw bytes of all records, one after
// the other, are the input. What is not understood has the type Other.
// A call that strace printed in two halves is joined; the record of its second
// half knows both. The order of lines is strace's own: it does not say who
// woke whom, and this package does not either.
package strace

// Type is the kind of a line.
type Type uint8

const (
	Other      Type = iota // not understood, or of no concern: tables, hex dumps, the program's own output
	CallLine               // a whole call
	Unfinished             // the first half of a call
	Resumed                // the second half; Call is the whole
	Signal                 // --- SIGALRM {...} ---
	Exit                   // +++ exited with 0 +++, +++ killed by SIGKILL +++, +++ superseded ... +++
	Stop                   // --- stopped by SIGSTOP ---
	Stack                  // a frame of -k
	Diagnostic             // strace's own words: strace: Process 7 attached
)

var typeNames = [...]string{"other", "call", "unfinished", "resumed", "signal", "exit", "stop", "stack", "diagnostic"}

func (t Type) String() string { return typeNames[t] }

// Clock says what the times of a log are.
type Clock uint8

const (
	NoClock  Clock = iota
	Wall           // -t, -tt: time of day
	Epoch          // -ttt: seconds since 1970
	Relative       // -r: since the record before
)

// Record is one line, or a piece of one that is longer than MaxLine. It and
// all that it points to are valid until the next call of Next.
type Record struct {
	Line    int    // from 1
	Raw     []byte // with its line end
	Part    bool   // the line goes on in the next record: Raw is a piece of an over-long line
	Mixed   bool   // no result is known to be that of the call before it, from here on
	Wrapped bool   // the record was wrapped, and goes on in the next line, to whose record it belongs
	Type    Type

	PID    int    // thread ID, 0 if the line has none
	Comm   []byte // of -Y
	Clock  Clock
	Time   int64  // nanoseconds on Clock
	Tick   int64  // what the last digit of Time stands for, nanoseconds
	Delta  int64  // of -r beside -t, nanoseconds, -1 without
	Number int    // of -n, -1 without
	IP     []byte // of -i

	Call Call   // CallLine, Resumed: whole. Unfinished: as far as it goes
	Text []byte // Signal, Exit, Stop, Stack, Diagnostic: without its decoration
}

// Call is one system call. The slices are as strace printed them.
type Call struct {
	Name  string
	Args  [][]byte
	Whole bool // every part has been understood

	Value     int64  // of the result
	HasValue  bool   // the result is a number
	NoValue   bool   // the result is "?": the call did not return, or is to be restarted
	Result    []byte // the number as printed, with what -y says of a descriptor
	Errno     string // "EAGAIN", "ERESTARTNOHAND", "" without
	Note      []byte // what stands in brackets behind the result, without them
	Duration  int64  // of -T in nanoseconds, -1 without
	Injected  bool
	Delayed   bool
	Killed    bool // ended by the death of its thread
	Cut       bool // Unfinished: by no mark of strace's, but the line's end
	Detached  bool // strace let go while the call was going on
	First     int  // Resumed: line of the first half
	FirstTime int64
	Restarts  string // restart_syscall: the interrupted call that it names, "" if it names none

	torn bool    // brackets have been lost, and the arguments are none
	kept *repeat // what was read of an equal call, nil if that is not known
}
