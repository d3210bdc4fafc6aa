// SPDX-License-Identifier: MIT

// sched measures Go as ../sched.c measures Corvid; the lines have the same names and do the same, in Go's own
// way. GOMAXPROCS in the environment sets the number of threads.
//
// usage: sched LINE COUNT
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

var lines = map[string]func(int){
	"yield": func(n int) { yield(n, 2) }, "yield64": func(n int) { yield(n, 64) },
	"park": park, "apart": apart, "spawn": spawn, "member": spawn, "group": group, "skynet": skynet,
	"pingpong": pingpong, "buffered": buffered, "select": selectOne,
	"mutex": mutex, "mutexwait": mutexWait, "mutexrun": mutexRun,
	"read": read, "write": write, "rwrun": rwRun, "sem": sem, "semwait": park, "cond": cond,
	"event": event, "waitgroup": waitGroup, "once": once, "barrier": barrier,
	"deadline": deadline, "timer": timer, "offload": offload, "blocking": blocking,
}

var begun, ended time.Time
var begunCPU, endedCPU int64

func begin() { begun, begunCPU = time.Now(), processCPU() }
func end()   { ended, endedCPU = time.Now(), processCPU() }

func processCPU() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// together runs fn(0) to fn(n-1) in goroutines of their own.
func together(n int, fn func(index int)) {
	var left sync.WaitGroup
	left.Add(n)
	for i := 0; i < n; i++ {
		go func(index int) {
			fn(index)
			left.Done()
		}(i)
	}
	left.Wait()
}

func yield(count, n int) {
	together(n, func(int) {
		for i := 0; i < count/n; i++ {
			runtime.Gosched()
		}
	})
}

// park: Go has no public park. A channel of one empty place wakes as directly as anything it has, and more
// cheaply than a sync.Cond.
func park(count int) {
	cells := [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
	together(2, func(index int) { wakeInTurn(index, count, cells) })
}

func wakeInTurn(index, count int, cells [2]chan struct{}) {
	for i := 0; i < count; i++ {
		if index == 1 {
			cells[0] <- struct{}{}
		}
		<-cells[index]
		if index == 0 {
			cells[1] <- struct{}{}
		}
	}
}

// apart: goroutines cannot be placed; two that are locked to threads are never in the same one.
func apart(count int) {
	cells := [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
	together(2, func(index int) {
		runtime.LockOSThread()
		wakeInTurn(index, count, cells)
		runtime.UnlockOSThread()
	})
}

func spawn(count int) {
	var left sync.WaitGroup
	for i := 0; i < count; i++ {
		left.Add(1)
		go left.Done()
		left.Wait()
	}
}

func group(count int) {
	for i := 0; i < count/10; i++ {
		var left sync.WaitGroup
		left.Add(10)
		for j := 0; j < 10; j++ {
			go left.Done()
		}
		left.Wait()
	}
}

func node(parent chan<- int, first, size int) {
	if size == 1 {
		parent <- first
		return
	}
	sums := make(chan int, 10)
	for i := 0; i < 10; i++ {
		go node(sums, first+i*size/10, size/10)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-sums
	}
	parent <- sum
}

func skynet(count int) {
	top := make(chan int, 1)
	go node(top, 0, count)
	if <-top != count*(count-1)/2 {
		panic("the sum")
	}
}

func main() {
	if len(os.Args) != 3 || lines[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: sched LINE COUNT")
		os.Exit(2)
	}
	count, err := strconv.Atoi(os.Args[2])
	if err != nil || count < 1 {
		fmt.Fprintln(os.Stderr, "sched: not a count:", os.Args[2])
		os.Exit(2)
	}
	if count >= 10 {
		lines[os.Args[1]](count / 10)
	}
	ended = time.Time{}
	begin()
	lines[os.Args[1]](count)
	if ended.IsZero() {
		end()
	}
	fmt.Printf("ns %.1f\n", float64(ended.Sub(begun).Nanoseconds())/float64(count))
	fmt.Printf("cpu_ns %.1f\n", float64(endedCPU-begunCPU)/float64(count))
}
