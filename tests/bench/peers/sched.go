// SPDX-License-Identifier: MIT

// sched measures goroutines as ../sched.c measures coroutines: yield (64 goroutines in turn), spawn (start
// one and wait for it) and pingpong (two of them, one channel each way). GOMAXPROCS in the environment sets
// the number of threads.
//
// usage: sched yield|spawn|pingpong COUNT
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

const yielders = 64

func doYield(count int) {
	var group sync.WaitGroup
	group.Add(yielders)
	for i := 0; i < yielders; i++ {
		go func() {
			for j := 0; j < count/yielders; j++ {
				runtime.Gosched()
			}
			group.Done()
		}()
	}
	group.Wait()
}

func doSpawn(count int) {
	done := make(chan struct{})
	for i := 0; i < count; i++ {
		go func() { done <- struct{}{} }()
		<-done
	}
}

func doPingpong(count int) {
	ping, pong := make(chan struct{}), make(chan struct{})
	go func() {
		for range ping {
			pong <- struct{}{}
		}
	}()
	for i := 0; i < count; i++ {
		ping <- struct{}{}
		<-pong
	}
	close(ping)
}

func processCPU() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func main() {
	benches := map[string]func(int){"yield": doYield, "spawn": doSpawn, "pingpong": doPingpong}
	if len(os.Args) != 3 || benches[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: sched yield|spawn|pingpong COUNT")
		os.Exit(2)
	}
	count, err := strconv.Atoi(os.Args[2])
	if err != nil || count < 1 {
		fmt.Fprintln(os.Stderr, "sched: not a count:", os.Args[2])
		os.Exit(2)
	}
	count -= count % yielders
	begun, cpu := time.Now(), processCPU()
	benches[os.Args[1]](count)
	cpu = processCPU() - cpu
	elapsed := time.Since(begun)
	fmt.Printf("ns %.1f\n", float64(elapsed.Nanoseconds())/float64(count))
	fmt.Printf("cpu_ns %.1f\n", float64(cpu)/float64(count))
}
