//go:build linux

package strace

import "bytes"

// Threads that write their calls in two pieces, and do not end the first with a
// line of its own as strace does, mix them: qemu-user has the call in one piece
// and its result in the other, and one number for all threads. From the first
// line with two calls on, a result may be that of any call before it.

// mixes reports whether a second call begins within one that has not returned.
func (r *Reader) mixes(s []byte) bool {
	rec := &r.scratch
	rec.PID, rec.Clock = 0, NoClock
	body := rec.prefix(s)
	n := nameLen(body)
	if rec.PID == 0 || s[0] == '[' || n == 0 || n == len(body) || body[n] != '(' || !isCall(body[:n]) {
		return false
	}
	depth := 0
	for i := n; i < len(body); {
		switch c := body[i]; class[c] {
		case skipped:
			i, _ = skip(body, i)
			continue
		case opens:
			if c == '(' && i > n && followsThread(body[n:i], depth > 0) {
				return true
			}
			depth++
		case closes:
			depth--
		default:
			if c == '=' && depth == 0 {
				return false // it has its result
			}
		}
		i++
	}
	return false
}

// followsThread reports whether s ends in the name of a call after the number of
// a thread, to which nothing leads but the arguments of another call.
func followsThread(s []byte, inside bool) bool {
	name := len(s)
	for name > 0 && inName[s[name-1]] {
		name--
	}
	pid := len(trimRight(s[:name]))
	start := pid
	for start > 0 && isDigit(s[start-1]) {
		start--
	}
	return pid < name && start < pid && start > 0 && (s[start-1] != ' ' || inside && bytes.HasSuffix(s[:start], []byte("= "))) && isCall(s[name:])
}

// mixed takes a line of a log in which calls are mixed, and reports whether it
// has a call, or the result of one.
func (r *Reader) mixed(rec *Record, s []byte) bool {
	if !r.mixing {
		r.mixing, r.pending = true, pending{dropped: r.pending.dropped}
	}
	rec.Mixed = true
	body := trimLeft(rec.prefix(s))
	n := nameLen(body)
	call := n > 0 && n < len(body) && body[n] == '('
	if !call && !bytes.HasPrefix(body, []byte("=")) && !bytes.HasPrefix(body, []byte("Unknown syscall ")) {
		return false
	}
	rec.clear()
	r.unread.add(&r.unread.Mixed, rec.Line)
	return true
}
