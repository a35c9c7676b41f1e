// SPDX-License-Identifier: GPL-2.0

package main

import (
	"runtime"
	"sync"
	"time"
)

// A token goes round n times; the caller is the last of the ring.
func ring() {
	members, n, token := parameter("tasks"), parameter("n"), 0
	first := make(chan int)
	in := first

	runtime.GOMAXPROCS(parameter("processors"))
	for i := 0; i < members-1; i++ {
		out := make(chan int)
		go func(in, out chan int) {
			for value := range in {
				out <- value + 1
			}
			close(out)
		}(in, out)
		in = out
	}
	start := time.Now()
	for i := 0; i < n; i++ {
		first <- token
		token = <-in
	}
	each(start, n*(members-1))
	counted(token, n*(members-1))
	close(first)
	<-in
}

func addsUp(up chan int, number, leaves int) {
	if leaves == 1 {
		up <- number
		return
	}
	sum, c := 0, make(chan int)
	for i := 0; i < 10; i++ {
		go addsUp(c, number+i*(leaves/10), leaves/10)
	}
	for i := 0; i < 10; i++ {
		sum += <-c
	}
	up <- sum
}

func skynet() {
	n, c := parameter("n"), make(chan int)

	runtime.GOMAXPROCS(parameter("processors"))
	start := time.Now()
	go addsUp(c, 0, n)
	sum := <-c
	each(start, 1)
	counted(sum, n*(n-1)/2)
}

func sieve() {
	n, prime := parameter("n"), 0
	in := make(chan int)

	runtime.GOMAXPROCS(parameter("processors"))
	start := time.Now()
	go func(out chan int) {
		for value := 2; ; value++ {
			out <- value
		}
	}(in)
	for i := 0; i < n; i++ {
		prime = <-in
		out := make(chan int)
		go func(in, out chan int, prime int) {
			for value := range in {
				if value%prime != 0 {
					out <- value
				}
			}
		}(in, out, prime)
		in = out
	}
	each(start, 1)
	sample("prime", float64(prime))
}

// n values each through a channel with room for 128.
func producers() {
	tasks, n := parameter("tasks"), parameter("n")
	c, sums := make(chan int, 128), make(chan int, tasks)
	var all sync.WaitGroup

	runtime.GOMAXPROCS(parameter("processors"))
	start := time.Now()
	all.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for j := 0; j < n; j++ {
				c <- j
			}
			all.Done()
		}()
		go func() {
			sum := 0
			for value := range c {
				sum += value
			}
			sums <- sum
		}()
	}
	all.Wait()
	close(c)
	sum := 0
	for i := 0; i < tasks; i++ {
		sum += <-sums
	}
	each(start, n*tasks)
	counted(sum, tasks*(n*(n-1)/2))
}
