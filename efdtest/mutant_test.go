//go:build linux

package efdtest_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/efdtest"
	"github.com/efd-go/efd/internal/testenv"
)

// needKernel skips what cannot be shown without kernel evidence.
func needKernel(t *testing.T) {
	t.Helper()
	if e, why := efdtest.New(t).Evidence(); e != efdtest.Kernel {
		if testenv.Required("observe") {
			t.Fatalf("EFD_REQUIRE: %s", why)
		}
		t.Skipf("needs kernel evidence: %s", why)
	}
}

// consumer is the first of the example tests, of a queue that may be wrong.
func consumer(t testing.TB, get func(*queue), put func(q, other *queue)) {
	k := efdtest.New(t)
	q, other := newQueue(t), newQueue(t)
	jobs, rest := k.Name(q, "jobs"), k.Name(other, "rest")
	c, idle := k.Go("consumer", func() { get(q) }), k.Go("idle", other.Get)
	c.Asleep(jobs)
	idle.Asleep(rest)
	a := k.Do("Put", func() { put(q, other) })
	a.Woke(c, efdtest.OutOf("ppoll"), efdtest.Through("pollwake"))
	a.WokeNobodyElse()
	idle.SleptOn()
	if !t.Failed() {
		c.Done()
	}
}

func put(q, _ *queue) { q.Put() }

func TestNoWrite(t *testing.T) {
	efdtest.Hasten(t)
	forget := func(q, _ *queue) { q.n.Add(1) }
	r := record(t, func(t testing.TB) { consumer(t, (*queue).Get, forget) })
	r.wantFailure(t, "Put did not wake consumer, which sleeps in ppoll on jobs (counter 0): Put made no call of efd's")
	t.Setenv("EFDTEST", "proc")
	r = record(t, func(t testing.TB) { consumer(t, (*queue).Get, forget) })
	r.wantFailure(t, "Put did not wake consumer, which sleeps in ppoll on jobs (counter 0): Put made no call of efd's")
}

func TestWriteToAnother(t *testing.T) {
	efdtest.Hasten(t)
	astray := func(_, other *queue) { other.Put() }
	r := record(t, func(t testing.TB) { consumer(t, (*queue).Get, astray) })
	text := r.wantFailure(t,
		"Put did not wake consumer, which sleeps in ppoll on jobs (counter 0): Put made write(rest, 1) = 8")
	if os.Getenv("EFDTEST") != "proc" && r.attrs["efd.evidence"] == "kernel" {
		r.wantFailure(t, "Put woke idle; want consumer alone")
		if !strings.Contains(text, "… wakes idle out of ppoll through pollwake") {
			t.Errorf("the table does not have the wake of idle:\n%s", text)
		}
	}
	t.Setenv("EFDTEST", "proc")
	r = record(t, func(t testing.TB) { consumer(t, (*queue).Get, astray) })
	r.wantFailure(t, "Put did not wake consumer, which sleeps in ppoll on jobs (counter 0): Put made write(rest, 1) = 8")
	r.wantFailure(t, "idle did not sleep on in ppoll")
}

func TestHerd(t *testing.T) {
	needKernel(t)
	r := record(t, func(t testing.TB) {
		k := efdtest.New(t)
		q := newQueue(t)
		jobs := k.Name(q, "jobs")
		pool := startPool(k, q, efd.EPOLLIN)
		for _, w := range pool {
			w.Asleep(jobs)
		}
		put := k.Do("Put", q.Put)
		put.WokeOneOf(1, pool...)
		put.WokeNobodyElse()
	})
	text := r.wantFailure(t, "Put woke worker-")
	if !strings.Contains(text, "; want 1 of worker-1, worker-2 and worker-3\n") || !strings.Contains(text,
		"<- number 3, and 1 was wanted") {
		t.Errorf("a herd of three:\n%s", text)
	}

	r = record(t, func(t testing.TB) { // of a poll, whose entries are never exclusive
		k := efdtest.New(t)
		q := newQueue(t)
		jobs := k.Name(q, "jobs")
		c, second := k.Go("consumer", q.Get), k.Go("second", q.Get)
		c.Asleep(jobs)
		second.Asleep(jobs)
		put := k.Do("Put", q.Put)
		put.Woke(c)
		put.WokeNobodyElse()
	})
	text = r.wantFailure(t, "Put woke ")
	for _, part := range []string{"; want consumer alone", "<- nobody asked for this", "not exclusive",
		"jobs is eventfd", "\n  recording: /", "\n  page: /", "go test ", "-run '^TestHerd$'"} {
		if !strings.Contains(text, part) {
			t.Errorf("the failure lacks %q:\n%s", part, text)
		}
	}
}

func TestWriteBeforeTheWait(t *testing.T) {
	early := func(t testing.TB) {
		k := efdtest.New(t)
		q := newQueue(t)
		jobs := k.Name(q, "jobs")
		q.Put()
		c := k.Go("consumer", q.Get)
		c.Asleep(jobs)
		k.Do("Put", q.Put).Woke(c)
	}
	const want = "consumer is not asleep on jobs: it has returned, after read(jobs) = 1"
	record(t, early).wantFailure(t, want)
	t.Setenv("EFDTEST", "proc")
	record(t, early).wantFailure(t, want)
}

func TestSecondReaderSteals(t *testing.T) {
	efdtest.Hasten(t)
	// The thief reads after the consumer was woken and before it reads.
	stolen := func(t testing.TB) {
		done := make(chan struct{})
		consumer(t, func(q *queue) {
			efd.Poll([]efd.PollFD{{FD: int32(q.FD()), Events: efd.POLLIN}}, efd.Forever, nil)
			<-done
			q.Read()
			q.Get()
		}, func(q, _ *queue) { q.Put(); q.Read(); close(done) })
	}
	const want = "consumer has not returned: it sleeps in ppoll on jobs (counter 0)"
	check := func() {
		text := record(t, stolen).wantFailure(t, want)
		if !strings.Contains(text, "Put       ") || !strings.Contains(text, "read(jobs) = 1") {
			t.Errorf("the table does not have the thief:\n%s", text)
		}
	}
	check()
	t.Setenv("EFDTEST", "proc")
	check()
}

func TestAnotherCallback(t *testing.T) {
	needKernel(t)
	byEpoll := func(q *queue) {
		p, err := efd.NewEpoll()
		if err != nil {
			t.Error(err)
			return
		}
		defer p.Close()
		p.AddConn(q, efd.EPOLLIN, 0)
		p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil)
		q.Read()
	}
	r := record(t, func(t testing.TB) { consumer(t, byEpoll, put) })
	r.wantFailure(t, "Put woke consumer through ep_poll_callback and ep_autoremove_wake_function; want pollwake")
}

// A goroutine in ReadContext is asserted by its own calls.
func TestGoroutineMutants(t *testing.T) {
	efdtest.Hasten(t)
	body := func(put func(q, other *queue)) func(t testing.TB) {
		return func(t testing.TB) {
			k := efdtest.New(t)
			q, other := newQueue(t), newQueue(t)
			jobs := k.Name(q, "jobs")
			k.Name(other, "rest")
			g := k.GoContext("getter", func(ctx context.Context) { q.GetContext(ctx) })
			g.Waiting(jobs)
			a := k.Do("Put", func() { put(q, other) })
			a.Woke(g)
			a.WokeNobodyElse()
			g.Done()
		}
	}
	for name, c := range map[string]struct {
		put  func(q, other *queue)
		want string
	}{
		"nothing": {func(_, _ *queue) {}, "Put did not wake getter: it waits on jobs (counter 0), goroutine"},
		"another": {func(_, other *queue) { other.Put() },
			"Put did not wake getter: it waits on jobs (counter 0), goroutine"},
		"right": {put, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, body(c.put))
			if c.want == "" {
				if r.failed || r.skipped {
					t.Errorf("%q %q", r.failures, r.logged)
				}
				return
			}
			r.wantFailure(t, c.want)
		})
	}
}
