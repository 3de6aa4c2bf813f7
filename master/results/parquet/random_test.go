package parquet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/clic-orchestrator/clic/master/results/parquet"
)

// maker makes files whose parts are each well-formed and do not fit together: any schema, any levels, any values.
type maker struct {
	*rand.Rand
	schema []field
	pages  []page
}

// group adds a group and what is below it.
func (m *maker) group(repetition int64, def, rep, depth int) {
	at := len(m.schema)
	m.schema = append(m.schema, field{name: fmt.Sprintf("g%d", at), physical: -1, repetition: repetition})
	if m.IntN(2) == 0 {
		m.schema[at].annotation = []int64{1, 2, 3, 4, 6, 20}[m.IntN(6)] // a string, a map, its entries, a list, a decimal, JSON
	}
	for range m.IntN(4) {
		m.schema[at].below++
		m.field(def, rep, depth+1)
	}
}

func (m *maker) field(def, rep, depth int) {
	repetition := m.Int64N(3)
	if repetition > 0 {
		def++
	}
	if repetition == 2 {
		rep++
	}
	if depth < 5 && m.IntN(2) == 0 {
		m.group(repetition, def, rep, depth)
		return
	}
	f := field{name: []string{"array", "key", "element", "x"}[m.IntN(4)], physical: m.Int64N(8), repetition: repetition, annotation: m.Int64N(23)}
	if f.physical == 7 {
		f.width = 1 + m.Int64N(20)
	}
	m.schema = append(m.schema, f)
	m.pages = append(m.pages, m.page(f, def, rep))
}

// page makes a page of some values, with levels that a column of this depth can have.
func (m *maker) page(f field, def, rep int) page {
	p := page{physical: f.physical, encoding: []int64{0, 0, 0, 0, 2, 3, 5, 6, 7, 8, 9}[m.IntN(11)]}
	var reps, defs []byte
	for range m.IntN(8) {
		r := m.IntN(rep + 1)
		if p.values == 0 && m.IntN(8) > 0 {
			r = 0
		}
		reps, defs = append(reps, 2, byte(r)), append(defs, 2, byte(m.IntN(def+1))) // runs of one
		p.values++
	}
	for _, l := range []struct {
		most  int
		bytes []byte
	}{{rep, reps}, {def, defs}} {
		if l.most > 0 {
			p.data = append(binary.LittleEndian.AppendUint32(p.data, uint32(len(l.bytes))), l.bytes...)
		}
	}
	for range m.IntN(80) {
		p.data = append(p.data, byte(m.IntN(4)*m.IntN(4)))
	}
	return p
}

// TestRandomFiles reads files of which hardly one is right.
func TestRandomFiles(t *testing.T) {
	good := 0
	for seed := range uint64(20_000) {
		m := &maker{Rand: rand.New(rand.NewPCG(seed, 0))}
		m.schema = []field{{name: "root", physical: -1}}
		for range 1 + m.IntN(3) {
			m.schema[0].below++
			m.field(0, 0, 0)
		}
		if len(m.pages) > 14 || len(m.schema) > 14 {
			continue // longer than the lists of the writer above
		}
		content := file(m.Int64N(5), m.schema, m.pages)
		func() {
			defer func() {
				if problem := recover(); problem != nil {
					t.Fatalf("seed %d: %v; schema %+v", seed, problem, m.schema)
				}
			}()
			f, err := parquet.Open(t.Context(), bytes.NewReader(content), int64(len(content)), parquet.Limits{Cell: 32})
			if err == nil {
				_, err = f.Head(10)
			}
			if err == nil {
				good++
			} else if !errors.Is(err, parquet.ErrDamaged) && !errors.Is(err, parquet.ErrUnsupported) {
				t.Errorf("seed %d: %v", seed, err)
			}
		}()
	}
	if good < 1000 {
		t.Errorf("only %d files were read: the others do not test much", good)
	}
}
