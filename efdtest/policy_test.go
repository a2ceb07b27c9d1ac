//go:build linux

package efdtest_test

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/efd-go/efd/efdtest"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/efd-go/efd/internal/testenv/ordinary"
)

// woken is a test that passes, on any evidence.
func woken(t testing.TB) *efdtest.K {
	k := efdtest.New(t)
	q := newQueue(t)
	jobs := k.Name(q, "jobs")
	c := k.Go("consumer", q.Get)
	c.Asleep(jobs)
	put := k.Do("Put", q.Put)
	put.Woke(c)
	put.WokeNobodyElse()
	c.Done()
	return k
}

func TestProc(t *testing.T) {
	t.Setenv("EFDTEST", "proc")
	var k *efdtest.K
	r := record(t, func(t testing.TB) { k = woken(t) })
	if r.failed || r.skipped {
		t.Errorf("failed %v, skipped %v: %q %q", r.failed, r.skipped, r.failures, r.logged)
	}
	if e, why := k.Evidence(); e != efdtest.Proc || why == "" {
		t.Errorf("evidence %q, %q", e, why)
	}
	const want = "evidence: proc: 2 of 4 assertions unchecked (who woke, through what); to check them: "
	if len(r.logged) != 1 || !strings.HasPrefix(r.logged[0], want) {
		t.Errorf("logged %q, want %q", r.logged, want)
	}
	if r.attrs["efd.evidence"] != "proc" || r.attrs["efd.unchecked"] != "2" || r.attrs["efd.lost"] != "0" {
		t.Errorf("%v", r.attrs)
	}
	r = record(t, func(t testing.TB) { efdtest.New(t).NeedKernel() })
	if r.failed || !r.skipped || !strings.HasPrefix(r.logged[0], "needs kernel evidence: ") {
		t.Errorf("NeedKernel: failed %v, skipped %v, %q", r.failed, r.skipped, r.logged)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("EFDTEST", "yes")
	record(t, func(t testing.TB) { woken(t) }).wantFailure(t, "efdtest: EFDTEST=yes: want kernel or proc")
}

func TestKernel(t *testing.T) {
	needKernel(t)
	t.Setenv("EFDTEST", "kernel")
	var k *efdtest.K
	r := record(t, func(t testing.TB) { k = woken(t); k.NeedKernel() })
	if r.failed || len(r.logged) != 0 || r.attrs["efd.evidence"] != "kernel" || r.attrs["efd.unchecked"] != "0" {
		t.Errorf("%q %q %v", r.failures, r.logged, r.attrs)
	}
	if e, why := k.Evidence(); e != efdtest.Kernel || why != "" {
		t.Errorf("evidence %q, %q", e, why)
	}
}

// asOrdinary, in the environment, has TestOrdinaryChild run.
const asOrdinary = "EFDTEST_ORDINARY"

// An ordinary user's tests run on proc evidence, with the reason and the
// smallest change; EFDTEST=kernel makes that a failure.
func TestOrdinaryUser(t *testing.T) {
	for env, passes := range map[string]bool{"": true, "proc": true, "kernel": false} {
		t.Run("EFDTEST="+env, func(t *testing.T) {
			cmd := ordinary.User{UID: ordinary.Fresh()}.Command(t, "-test.run=^TestOrdinaryChild$", "-test.v")
			cmd.Env = append(cmd.Environ(), asOrdinary+"=1", "EFDTEST="+env)
			out, err := cmd.CombinedOutput()
			if (err == nil) != passes {
				t.Errorf("%v\n%s", err, out)
			}
			want := "evidence: proc: 2 of 4 assertions unchecked (who woke, through what)"
			if env == "kernel" {
				want += "; EFDTEST=kernel makes that a failure"
			}
			if !strings.Contains(string(out), want+"; to check them: ") {
				t.Errorf("want %q in\n%s", want, out)
			}
		})
	}
}

func TestOrdinaryChild(t *testing.T) {
	if os.Getenv(asOrdinary) == "" {
		t.Skip("is run by TestOrdinaryUser")
	}
	woken(t)
}

// Time stands still in a bubble, and New says so instead of a hang.
func TestSynctest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			efdtest.New(r)
		}()
		testenv.Receive(t, done, "the refusal")
		r.wantFailure(t, "efdtest: New in a bubble of testing/synctest: ")
	})
}

// Run repeats what is inconclusive, and nothing else.
func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		attempt         func(n int, k *efdtest.K)
		attempts        int
		failed, skipped bool
		env             string
	}{
		"passes":       {func(int, *efdtest.K) {}, 1, false, false, ""},
		"fails":        {func(_ int, k *efdtest.K) { k.Go("", nil) }, 1, true, false, ""},
		"second":       {func(n int, k *efdtest.K) { doubtful(k, n < 2) }, 2, false, false, ""},
		"never":        {func(_ int, k *efdtest.K) { doubtful(k, true) }, 3, false, true, ""},
		"never strict": {func(_ int, k *efdtest.K) { doubtful(k, true) }, 3, true, false, "kernel"},
		"fails later":  {func(n int, k *efdtest.K) { doubtful(k, n < 2); failing(k, n == 2) }, 2, true, false, ""},
		"both":         {func(n int, k *efdtest.K) { doubtful(k, true); failing(k, true) }, 1, true, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.env == "kernel" {
				needKernel(t)
			}
			t.Setenv("EFDTEST", c.env)
			n, ended := 0, 0
			r := record(t, func(t testing.TB) {
				efdtest.RunTB(t, func(k *efdtest.K) {
					if ended != n {
						t.Errorf("attempt %d begins before the clean-up of the one before", n+1)
					}
					n++
					k.Cleanup(func() { ended++ })
					c.attempt(n, k)
				})
			})
			if n != c.attempts || ended != n || r.failed != c.failed || r.skipped != c.skipped {
				t.Errorf("%d attempts, %d ended, failed %v, skipped %v: %q %q", n, ended, r.failed, r.skipped, r.failures, r.logged)
			}
			if log := strings.Join(append(r.logged, r.failures...), "\n"); c.attempts > 1 && !strings.Contains(log,
				"inconclusive, attempt 1 of 3: records were lost") {
				t.Errorf("log %q", log)
			}
		})
	}
}

func doubtful(k *efdtest.K, is bool) {
	if is {
		k.Doubt("records were lost")
	}
}

func failing(k *efdtest.K, is bool) {
	if is {
		q := newQueue(k.TB)
		k.Name(q, "jobs")
		k.Name(q, "jobs") // twice
	}
}

// New alone skips an inconclusive test at its end.
func TestInconclusive(t *testing.T) {
	t.Setenv("EFDTEST", "proc")
	ended := false
	r := record(t, func(t testing.TB) {
		efdtest.New(t).Doubt("records were lost")
		ended = true
	})
	if r.failed || !r.skipped || !ended || len(r.logged) != 1 || r.logged[0] != "inconclusive: records were lost" {
		t.Errorf("failed %v, skipped %v, %q", r.failed, r.skipped, r.logged)
	}
}

// The waker's wait for a processor explains an excess, nothing else does.
func TestWithin(t *testing.T) {
	needKernel(t)
	for name, slow := range map[string]time.Duration{"fails": 0, "inconclusive": time.Hour} {
		t.Run(name, func(t *testing.T) {
			r := record(t, func(t testing.TB) {
				k := efdtest.New(t)
				q := newQueue(t)
				jobs := k.Name(q, "jobs")
				c := k.Go("consumer", q.Get)
				c.Asleep(jobs)
				put := k.Do("Put", q.Put)
				put.Slow(slow)
				put.Woke(c, efdtest.Within(1))
				c.Done()
			})
			if slow == 0 && !r.skipped { // unless this machine was that slow
				r.wantFailure(t, "Put woke consumer after ")
			} else if !r.skipped || !strings.Contains(strings.Join(r.logged, " "), "its thread waited") {
				t.Errorf("skipped %v: %q %q", r.skipped, r.failures, r.logged)
			}
		})
	}
}
