//go:build linux

package explain

import (
	"math"
)

// maxCopied bounds the descriptors that a child's table takes over.
const maxCopied = 1024

// copyTable is the table of a child without CLONE_FILES, and of a thread that
// unshares its own.
func (s *state) copyTable(t *table) *table {
	c := &table{guessed: t.guessed, born: true}
	n := 0
	for d := range t.open(math.MinInt, math.MaxInt) {
		s.take(c, d)
		if n++; n >= maxCopied {
			break
		}
	}
	return c
}

// take puts a further descriptor of a file into another table, at the same
// number.
func (s *state) take(t *table, d *descriptor) {
	copied := s.share(t, d.fd, d.file)
	copied.cloexec, copied.flagged = d.cloexec, d.flagged
	copied.source, copied.duped = d.source, d.duped
}

// inherit moves what an execve leaves open into the new table. Of a descriptor
// whose making is not in the log it is not known, so it stays behind. Threads
// that go on with the old table, those of another process, keep theirs.
func (s *state) inherit(t, old *table) {
	var kept []*descriptor
	for d := range old.open(math.MinInt, math.MaxInt) {
		if d.flagged && !d.cloexec {
			kept = append(kept, d)
		}
	}
	for _, d := range kept {
		s.take(t, d)
		if old.threads == 0 {
			s.drop(d)
		}
	}
}

// unshare gives a thread a table of its own.
func (s *state) unshare(th *thread) {
	if th.table.threads <= 1 && !th.table.guessed {
		return
	}
	own := s.copyTable(th.table)
	th.table.threads--
	own.threads = 1
	th.table = own
}

// flags sets whether a descriptor is close-on-exec.
func (d *descriptor) flags(cloexec, known bool) { d.cloexec, d.flagged = cloexec, known }

// mail is what was sent to a socket by SCM_RIGHTS and has not been received.
// When something was received that the log has sent later, the next is not it.
type mail struct {
	files []*file
	ahead int
}

const maxMail = 64

func (m *mail) send(f *file) {
	switch {
	case m.ahead > 0:
		m.ahead--
	case len(m.files) < maxMail:
		m.files = append(m.files, f)
	default:
		*m = mail{ahead: math.MaxInt} // too many to keep their order
	}
}

// receive is the file that comes next, nil if that is not known.
func (m *mail) receive() *file {
	if len(m.files) == 0 {
		if m.ahead < math.MaxInt {
			m.ahead++
		}
		return nil
	}
	f := m.files[0]
	m.files = m.files[1:]
	return f
}
