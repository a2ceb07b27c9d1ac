//go:build linux

package perf

import (
	"encoding/binary"
	"math"

	"github.com/efd-go/efd/internal/ktrace/source"
)

// Types of records and the bits of them that are read here, as in
// linux/perf_event.h.
const (
	recordLost      = 2
	recordComm      = 3
	recordExit      = 4
	recordFork      = 7
	recordSample    = 9
	recordSwitch    = 14
	recordSwitchCPU = 15
	miscSwitchOut   = 1 << 13

	sampleTID        = 1 << 1
	sampleTime       = 1 << 2
	sampleCallchain  = 1 << 5
	sampleCPU        = 1 << 7
	sampleStreamID   = 1 << 9
	sampleRaw        = 1 << 10
	sampleIdentifier = 1 << 16

	// sampleBase holds the fields of every event's records, which identify
	// records of different events in one ring.
	sampleBase = sampleIdentifier | sampleTID | sampleTime | sampleStreamID | sampleCPU

	formatID   = 1 << 2
	formatLost = 1 << 4

	contextKernel = math.MaxUint64 - 128 + 1
	contextUser   = math.MaxUint64 - 512 + 1
	contextMax    = math.MaxUint64 - 4095 + 1
)

// Sample is one record of an event. Chain and Raw are valid during the call
// that it is passed to.
type Sample struct {
	ID       uint64 // of the event as it was opened
	StreamID uint64 // of the event, or of its copy in an inheriting task
	PID, TID int
	Time     int64
	CPU      int
	Chain    []uint64 // kernel addresses, leaf first, without markers
	Cut      bool     // Chain is as long as the kernel lets it be, or there is none
	Raw      []byte   // the tracepoint's record
}

// reader takes a record's words one by one. If a record is too short it sets
// bad and returns zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) u64() uint64 {
	if len(r.b) < 8 {
		r.bad = true
		return 0
	}
	v := binary.NativeEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) u32() uint32 {
	if len(r.b) < 4 {
		r.bad = true
		return 0
	}
	v := binary.NativeEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

// head reads the fields of sampleBase at the start of a sample.
func (s *Sample) head(r *reader) {
	s.ID = r.u64()
	s.PID, s.TID = int(int32(r.u32())), int(int32(r.u32()))
	s.Time = source.FromKernel(int64(r.u64()))
	s.StreamID = r.u64()
	s.CPU = int(r.u32())
	r.u32()
}

// rest reads the parts of a sample that only some events have.
func (s *Sample) rest(r *reader, bits uint64, maxChain int) {
	s.Chain, s.Raw, s.Cut = s.Chain[:0], nil, false
	if bits&sampleCallchain != 0 {
		n := r.u64()
		if n > uint64(len(r.b)/8) {
			r.bad = true
			return
		}
		kernel, frames := false, 0
		for range n {
			switch ip := r.u64(); {
			case ip >= contextMax:
				kernel = ip == contextKernel
			case kernel:
				s.Chain = append(s.Chain, ip)
				frames++
			}
		}
		s.Cut = frames >= maxChain || frames == 0
	}
	if bits&sampleRaw != 0 {
		n := int(r.u32())
		if n > len(r.b) {
			r.bad = true
			return
		}
		s.Raw = r.b[:n]
	}
}

// trailer reads the fields of sampleBase at the end of every record that is not
// a sample: TID, time, stream, CPU, identifier.
func (s *Sample) trailer(rec []byte) {
	const size = 8 + 8 + 8 + 8 + 8
	if len(rec) < size+8 {
		return
	}
	r := reader{b: rec[len(rec)-size:]}
	s.PID, s.TID = int(int32(r.u32())), int(int32(r.u32()))
	s.Time = source.FromKernel(int64(r.u64()))
	s.StreamID = r.u64()
	s.CPU = int(r.u32())
	r.u32()
	s.ID = r.u64()
}
