// Goroutines, channels, garbage collection, a nil pointer, a child, signals, preemption of a loop that calls nothing.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

type T struct{ x int }

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func main() {
	var wg sync.WaitGroup
	var mu sync.Mutex
	sum := 0
	for i := 0; i < 50; i++ {
		wg.Add(1)
		go func(i int) { defer wg.Done(); v := fib(12 + i%5); mu.Lock(); sum += v; mu.Unlock() }(i)
	}
	wg.Wait()
	fmt.Println("sum", sum)
	ch := make(chan int)
	go func() {
		for i := 0; i < 1000; i++ {
			ch <- i
		}
		close(ch)
	}()
	t := 0
	for v := range ch {
		t += v
	}
	fmt.Println("channel", t)
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var p *T
		fmt.Println(p.x)
	}()
	var garbage [][]byte
	for i := 0; i < 2000; i++ {
		garbage = append(garbage, make([]byte, 10000))
		if len(garbage) > 100 {
			garbage = nil
		}
	}
	runtime.GC()
	out, err := exec.Command("/bin/echo", "from a child").Output()
	fmt.Printf("%s %v\n", out, err)
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-c)
	done := make(chan bool)
	go func() {
		for i := 0; ; i++ {
			if i == -1 {
				break
			}
		}
	}()
	go func() { time.Sleep(10 * time.Millisecond); runtime.GC(); done <- true }()
	fmt.Println("preempted", <-done)
}
