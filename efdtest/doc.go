// Package efdtest asserts in a Go test which thread woke which: this write woke
// that waiter, through that function of the kernel, in time, and woke nobody
// else; and no wake-up was lost. The first ten lines:
//
//	func TestPut(t *testing.T) {
//		k := efdtest.New(t)
//		q := newQueue(t)                      // has a *efd.EventFD
//		jobs := k.Name(q.EventFD, "jobs")
//		c := k.Go("consumer", q.Get)          // on a thread of its own
//		c.Asleep(jobs)                        // now there is a sleeper to wake
//		put := k.Do("Put", q.Put)             // the calls under test
//		put.Woke(c, efdtest.Through("pollwake"))
//		put.WokeNobodyElse()
//		c.Done()                              // Get returned
//	}
//
// A failure shows the calls and wakes of the test in one table, with its own
// names, and names the recording that has everything.
//
// # Evidence
//
// An assertion is decided on the best evidence that the process may have.
// [Kernel] is the kernel's own record ([efd.Observe]) and decides all of them.
// [Proc] is /proc and [efd.AddTracer], and needs no privileges. It decides that
// a thread slept, slept on and returned, and that no wake-up was lost; not by
// which thread it was woken, nor through which function. Such an assertion passes
// unless the thread still sleeps, is counted as unchecked, and the last line of
// the test's log has the count.
//
// Nothing is skipped unless the test wants it, by [K.NeedKernel]. In the
// environment EFDTEST=kernel makes missing privileges a failure, for the CI job
// that has them (EFDTEST=kernel go test -exec sudo ./...), and EFDTEST=proc does
// without them.
//
// # Threads and goroutines
//
// [K.Go] runs a function on a thread of its own, which sleeps in efd's Poll,
// Select, Wait or a Blocking Read, and can be woken. A goroutine in ReadContext,
// WriteContext or WaitContext sleeps in Go's poller and has no thread that could
// be woken: the poller is often awake, and finds the write by itself. So its
// waits are asserted by its own calls: [K.GoContext], [Goroutine.Waiting], and
// [Act.Woke], which wants that it took something after the act began.
//
// # Time
//
// [Within] bounds the kernel's part, from the begin of the call to the waking:
// microseconds on any machine. How long the woken thread then waits for a
// processor is the scheduler's, is printed apart from it, and is bounded by
// [RanWithin] alone.
//
// # Inconclusive
//
// If records were lost, or a thread had no processor, an assertion that
// depends on it neither passes nor fails. [Run] then repeats the test's
// function, at most 3 times; a failure is never repeated. A test that stays
// inconclusive is skipped, and fails with EFDTEST=kernel.
//
// # One observation
//
// The tests of a process share one observation, which the first K begins in some
// tenths of a second; it ends with the process. Tests in parallel and
// repeated ones add nothing to it. The first assertion on an act waits some 60 ms
// for the kernel's records; [K.Check] decides many in one wait.
//
// # Package synctest
//
// [New] refuses a bubble of [testing/synctest]. The kernel's time goes on while
// the bubble's stands still, and a goroutine that waits for a descriptor, in
// Go's poller or on a thread, is not durably blocked: synctest.Wait would not
// return while a waiter waits, and a time-out would never pass. The same holds
// for efd's waits themselves: test them outside of a bubble.
package efdtest

// Every other file of the package is for Linux; this one names a package that
// has no file elsewhere.
import _ "github.com/efd-go/efd/internal/linuxonly"
