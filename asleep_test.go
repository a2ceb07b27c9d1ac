package efd

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// waitAsleep waits until the thread tid sleeps in one of the system calls nrs.
func waitAsleep(tid int, nrs ...int) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Microsecond) {
		if asleep(tid, nrs) {
			return
		}
		if time.Now().After(deadline) {
			panic(fmt.Sprintf("thread %d does not sleep in a call of %v", tid, nrs))
		}
	}
}

// asleep reports whether tid sleeps in one of nrs. /proc/TID/syscall says
// "running" unless the thread is off the CPU.
func asleep(tid int, nrs []int) bool {
	dir := "/proc/self/task/" + strconv.Itoa(tid)
	call, err := os.ReadFile(dir + "/syscall")
	if err != nil {
		return false
	}
	nr, _, _ := strings.Cut(string(call), " ")
	n, err := strconv.Atoi(nr)
	if err != nil || !slices.Contains(nrs, n) {
		return false
	}
	stat, err := os.ReadFile(dir + "/stat")
	i := strings.LastIndexByte(string(stat), ')')
	return err == nil && i > 0 && i+2 < len(stat) && stat[i+2] == 'S'
}
