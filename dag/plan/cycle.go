package plan

import "slices"

// cycles finds the cycles of a graph: for each strongly connected component a shortest cycle through its first node. An
// edge goes from a node to each of those it depends on; cycles are given in the direction of the work, and begin with
// their first node. The time is linear, the stack of its own, because a chain may be as long as a plan.
func cycles(deps [][]int) [][]int {
	comp := components(deps)
	var found [][]int
	done := map[int]bool{}
	for i := range deps {
		if done[comp[i]] {
			continue
		}
		done[comp[i]] = true
		if path := around(deps, comp, i); path != nil {
			found = append(found, path)
		}
	}
	return found
}

// around finds a shortest way from a node back to itself within its component.
func around(deps [][]int, comp []int, start int) []int {
	from := map[int]int{}
	queue := []int{start}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for _, d := range deps[n] {
			if d == start {
				path := []int{}
				for at := n; at != start; at = from[at] {
					path = append(path, at)
				}
				path = append(path, start)
				// path runs from the end of the walk to its start: each node depends on the one before it.
				slices.Reverse(path)
				return rotate(reverseTail(path))
			}
			if _, seen := from[d]; !seen && comp[d] == comp[start] {
				from[d] = n
				queue = append(queue, d)
			}
		}
	}
	return nil
}

// reverseTail turns a walk along dependencies into the order of the work, keeping its first node.
func reverseTail(path []int) []int {
	slices.Reverse(path[1:])
	return path
}

// rotate lets the cycle begin with its smallest node.
func rotate(path []int) []int {
	at := slices.Index(path, slices.Min(path))
	return append(slices.Clone(path[at:]), path[:at]...)
}

// components numbers the strongly connected components (Tarjan's algorithm, with an explicit stack).
func components(deps [][]int) []int {
	n := len(deps)
	index, low, comp := make([]int, n), make([]int, n), make([]int, n)
	for i := range comp {
		comp[i] = -1
	}
	var stack []int
	type frame struct{ node, next int }
	clock, count := 0, 0
	for root := range n {
		if index[root] != 0 {
			continue
		}
		work := []frame{{node: root}}
		for len(work) > 0 {
			f := &work[len(work)-1]
			v := f.node
			if f.next == 0 {
				clock++
				index[v], low[v] = clock, clock
				stack = append(stack, v)
			}
			if f.next < len(deps[v]) {
				w := deps[v][f.next]
				f.next++
				switch {
				case index[w] == 0:
					work = append(work, frame{node: w})
				case comp[w] < 0:
					low[v] = min(low[v], index[w])
				}
				continue
			}
			work = work[:len(work)-1]
			if len(work) > 0 {
				up := work[len(work)-1].node
				low[up] = min(low[up], low[v])
			}
			if low[v] != index[v] {
				continue
			}
			for {
				w := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				comp[w] = count
				if w == v {
					break
				}
			}
			count++
		}
	}
	return comp
}
