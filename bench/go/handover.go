// SPDX-License-Identifier: GPL-2.0

package main

import (
	"runtime"
	"syscall"
	"time"
)

// One processor: how long who is ready waits for one who blocks, or who computes.
func handover() {
	n, busy := parameter("n"), parameter("busy")
	length := time.Duration(parameter("ms")) * time.Millisecond
	late := make([]time.Duration, n)
	ready, done := make(chan struct{}, 1), make(chan struct{}, 1)
	var since time.Time

	runtime.GOMAXPROCS(1)
	go func() {
		for i := range late {
			<-ready
			late[i] = time.Since(since)
			done <- struct{}{}
		}
	}()
	for i := 0; i < n; i++ {
		runtime.Gosched()
		since = time.Now()
		ready <- struct{}{}
		if busy != 0 {
			for time.Since(since) < length {
			}
		} else {
			left := syscall.NsecToTimespec(int64(length))
			for syscall.Nanosleep(&left, &left) == syscall.EINTR {
			}
		}
		<-done
	}
	sampleLate(late)
}
