package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
)

type shape interface{ area() float64 }
type square struct{ side float64 }

func (s square) area() float64 { return s.side * s.side }

func main() {
	words := map[string]int{}
	for _, w := range strings.Fields("the quick the lazy the dog") {
		words[w]++
	}
	keys := make([]string, 0)
	for k := range words {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	fmt.Println(keys, words, square{3}.area(), fmt.Sprintf("%08.3f %x %q", 3.14159, 255, "a\n"))
	var group sync.WaitGroup
	sums := make(chan int, 10)
	for k := 0; k < 10; k++ {
		group.Add(1)
		go func(k int) { defer group.Done(); sums <- k * k }(k)
	}
	group.Wait()
	close(sums)
	total := 0
	for s := range sums {
		total += s
	}
	fmt.Println(total)
	defer func() { fmt.Println("recovered", recover()); os.Exit(7) }()
	var p *square
	fmt.Println(p.side)
}
