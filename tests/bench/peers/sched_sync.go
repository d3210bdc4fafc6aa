// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	crew     = 8
	parties  = 4
	sleepers = 100000
)

// --- channels

func pingpong(count int) {
	there, back := make(chan int), make(chan int)
	together(2, func(index int) {
		for i := 0; i < count; i++ {
			if index == 1 {
				there <- i
				<-back
			} else {
				back <- <-there
			}
		}
	})
}

func buffered(count int) {
	values := make(chan int, 128)
	together(2, func(index int) {
		for i := 0; i < count; i++ {
			if index == 0 {
				values <- i
			} else {
				<-values
			}
		}
	})
}

func selectOne(count int) {
	var there [4]chan int
	back := make(chan int)
	for i := range there {
		there[i] = make(chan int)
	}
	together(2, func(index int) {
		for i := 0; i < count; i++ {
			if index == 0 {
				there[i%4] <- i
				<-back
				continue
			}
			var got int
			select {
			case got = <-there[0]:
			case got = <-there[1]:
			case got = <-there[2]:
			case got = <-there[3]:
			}
			back <- got
		}
	})
}

// --- locks and the like

func mutex(count int) {
	var m sync.Mutex
	for i := 0; i < count; i++ {
		m.Lock()
		m.Unlock()
	}
}

func lockMany(count int, yields bool) {
	var m sync.Mutex
	number := 0
	together(crew, func(int) {
		for i := 0; i < count/crew; i++ {
			m.Lock()
			number++
			if yields {
				runtime.Gosched()
			}
			m.Unlock()
		}
	})
	if number != count/crew*crew {
		panic("the number")
	}
}

func mutexWait(count int) { lockMany(count, true) }
func mutexRun(count int)  { lockMany(count, false) }

func read(count int) {
	var l sync.RWMutex
	for i := 0; i < count; i++ {
		l.RLock()
		l.RUnlock()
	}
}

func write(count int) {
	var l sync.RWMutex
	for i := 0; i < count; i++ {
		l.Lock()
		l.Unlock()
	}
}

var seen [crew]int

func rwRun(count int) {
	var l sync.RWMutex
	number := 0
	together(crew, func(index int) {
		last := 0
		for i := 0; i < count/crew; i++ {
			if i%16 == 0 {
				l.Lock()
				number++
				l.Unlock()
			} else {
				l.RLock()
				last = number
				l.RUnlock()
			}
		}
		seen[index] = last
	})
}

// sem: the usual semaphore of the standard library is a channel with room for the permits.
func sem(count int) {
	permits := make(chan struct{}, 1)
	for i := 0; i < count; i++ {
		permits <- struct{}{}
		<-permits
	}
}

func cond(count int) {
	var m sync.Mutex
	conds := [2]*sync.Cond{sync.NewCond(&m), sync.NewCond(&m)}
	number := 0
	together(2, func(index int) {
		m.Lock()
		for i := 0; i < count; i++ {
			for number%2 != index {
				conds[index].Wait()
			}
			number++
			conds[1-index].Signal()
		}
		m.Unlock()
	})
}

// event: Go has none that can be taken back; what comes closest is a condition and a flag.
func event(count int) {
	var m sync.Mutex
	conds := [2]*sync.Cond{sync.NewCond(&m), sync.NewCond(&m)}
	var isSet [2]bool
	set := func(index int) {
		m.Lock()
		isSet[index] = true
		conds[index].Broadcast()
		m.Unlock()
	}
	together(2, func(index int) {
		for i := 0; i < count; i++ {
			if index == 1 {
				set(0)
			}
			m.Lock()
			for !isSet[index] {
				conds[index].Wait()
			}
			isSet[index] = false
			m.Unlock()
			if index == 0 {
				set(1)
			}
		}
	})
}

func waitGroup(count int) {
	var g sync.WaitGroup
	for i := 0; i < count; i++ {
		g.Add(1)
		g.Done()
	}
	g.Wait()
}

func once(count int) {
	var o sync.Once
	done := 0
	for i := 0; i < count; i++ {
		o.Do(func() { done++ })
	}
}

// barrier: not in the standard library; a condition and a count.
func barrier(count int) {
	var m sync.Mutex
	all := sync.NewCond(&m)
	arrived, round := 0, 0
	together(parties, func(int) {
		for i := 0; i < count; i++ {
			m.Lock()
			if arrived++; arrived == parties {
				arrived = 0
				round++
				all.Broadcast()
			} else {
				for mine := round; mine == round; {
					all.Wait()
				}
			}
			m.Unlock()
		}
	})
}

// --- time

// withTimers runs fn while so many timers are pending.
func withTimers(fn func()) {
	var pending [sleepers]*time.Timer
	for i := range pending {
		pending[i] = time.AfterFunc(time.Hour, func() {})
	}
	begin()
	fn()
	end()
	for _, t := range pending {
		t.Stop()
	}
}

// newTimer is one that is not running; a reused timer is Go's cheapest way to give a wait a deadline.
func newTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func recvInTime(values chan int, t *time.Timer) {
	t.Reset(30 * time.Second)
	select {
	case <-values:
	case <-t.C:
		panic("too late")
	}
	t.Stop()
}

func deadline(count int) {
	values := make(chan int, 1)
	withTimers(func() {
		t := newTimer()
		for i := 0; i < count; i++ {
			values <- i
			recvInTime(values, t)
		}
	})
}

func timer(count int) {
	ways := [2]chan int{make(chan int), make(chan int)}
	withTimers(func() {
		together(2, func(index int) {
			t := newTimer()
			for i := 0; i < count; i++ {
				if index == 1 {
					ways[0] <- i
				}
				recvInTime(ways[index], t)
				if index == 0 {
					ways[1] <- i
				}
			}
		})
	})
}

// --- blocking calls

// offload hands a call to a goroutine that has a thread to itself, and waits. Go's programs seldom need
// that: they make blocking calls where they are, see blocking.
func offload(count int) {
	calls, results := make(chan func() int), make(chan int)
	go func() {
		runtime.LockOSThread()
		for fn := range calls {
			results <- fn()
		}
	}()
	made := 0
	for i := 0; i < count; i++ {
		calls <- func() int { made++; return 0 }
		<-results
	}
	close(calls)
}

// blocking: the runtime notices a thread that stays in the kernel, and goes on with another.
func blocking(count int) {
	together(crew, func(int) {
		moment := syscall.Timespec{Nsec: 50000}
		for i := 0; i < count/crew; i++ {
			if err := syscall.Nanosleep(&moment, nil); err != nil && err != syscall.EINTR {
				panic(err)
			}
		}
	})
}
