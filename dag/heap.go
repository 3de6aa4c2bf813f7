package dag

// indexHeap is a min-heap of node indices: who waits for a place is served in the order of the plan.
type indexHeap []int32

func (h *indexHeap) push(v int32) {
	s := append(*h, v)
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up] <= s[i] {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
	*h = s
}

func (h *indexHeap) pop() (int32, bool) {
	s := *h
	if len(s) == 0 {
		return 0, false
	}
	top, last := s[0], len(s)-1
	s[0], s = s[last], s[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(s) {
			break
		}
		if c+1 < len(s) && s[c+1] < s[c] {
			c++
		}
		if s[i] <= s[c] {
			break
		}
		s[i], s[c] = s[c], s[i]
		i = c
	}
	*h = s
	return top, true
}
