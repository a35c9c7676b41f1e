// SPDX-License-Identifier: GPL-2.0

package main

import (
	"runtime"
	"sort"
	"sync"
	"time"
)

func sampleLate(late []time.Duration) {
	n := len(late)

	sort.Slice(late, func(i, j int) bool { return late[i] < late[j] })
	sample("p50", float64(late[n/2]))
	sample("p99", float64(late[n-1-n/100]))
	sample("worst", float64(late[n-1]))
}

func sleeping() {
	tasks := parameter("tasks")
	interval := time.Second / time.Duration(parameter("per_second"))
	late := make([]time.Duration, tasks)
	released := make(chan struct{})
	var ready, all sync.WaitGroup
	var begin time.Time

	runtime.GOMAXPROCS(2)
	start := time.Now()
	ready.Add(tasks)
	all.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func(i int) {
			ready.Done()
			<-released
			deadline := begin.Add(time.Duration(i) * interval)
			time.Sleep(time.Until(deadline))
			late[i] = time.Since(deadline)
			all.Done()
		}(i)
	}
	ready.Wait()
	begin = time.Now().Add(time.Since(start) + time.Second)
	close(released)
	all.Wait()
	sampleLate(late)
}
