package store

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkMutate commits from 64 goroutines at once, one value in each transaction.
func BenchmarkMutate(b *testing.B) {
	s, err := Open(b.Context(), Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var (
		n    atomic.Int64
		wg   sync.WaitGroup
		took [64][]time.Duration
	)
	b.ResetTimer()
	for w := range took {
		wg.Go(func() {
			for n.Add(1) <= int64(b.N) {
				began := time.Now()
				_, err := s.Mutate(b.Context(), Mutation{Set: []Edge{
					{UID: rand.Uint64N(100_000) + 1, Predicate: pred("name"), Value: text("value " + strconv.Itoa(w))},
				}})
				if err != nil {
					b.Error(err)
					return
				}
				took[w] = append(took[w], time.Since(began))
			}
		})
	}
	wg.Wait()
	all := slices.Concat(took[:]...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}
