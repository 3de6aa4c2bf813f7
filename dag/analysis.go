package dag

// Known says how long a stage of a template usually takes, if that is known.
type Known func(template string) (Duration, bool)

// Remaining estimates the time until the run ends: the longest way through what is left, with the known durations. It
// knows nothing of slots, so it is a lower bound. ok is false where a template on the way is unknown.
func (r *Run) Remaining(now Time, known Known) (left Duration, ok bool) {
	a := r.analyse(now, known)
	return a.left(0), !a.unknown
}

// CriticalPath gives the stages that decide when the run ends, in the order in which they run.
func (r *Run) CriticalPath(now Time, known Known) []int32 {
	a := r.analyse(now, known)
	var path []int32
	a.collect(0, &path)
	return path
}

// analysis computes per node the time from now to its end, in the order of dependencies.
type analysis struct {
	r       *Run
	now     Time
	known   Known
	end     []Duration // time from now to the node's end; -1 while unknown
	begin   []Duration // time from now at which the node's group lets it start
	unknown bool
}

func (r *Run) analyse(now Time, known Known) *analysis {
	a := &analysis{r: r, now: now, known: known, end: make([]Duration, len(r.nodes))}
	a.begin = make([]Duration, len(r.nodes))
	a.group(0, 0)
	return a
}

func (a *analysis) left(i int32) Duration { return a.end[i] }

// own is what is left of a stage once it may start.
func (a *analysis) own(n *Node) Duration {
	if n.Spec.Kind == KindGate {
		return 0
	}
	d, ok := a.known(n.Spec.Template)
	if !ok {
		a.unknown = true
		return 0
	}
	if n.Status.Active() && n.Started > 0 {
		d -= Duration(a.now - n.Started)
		if d < 0 {
			d = 0
		}
	}
	return d
}

// group computes the end of a node that may start at the given time, and of everything in it. Groups nest no deeper
// than Limits.Depth, so this recursion is bounded; within a group it is a loop.
func (a *analysis) group(i int32, at Duration) {
	n := a.r.nodes[i]
	a.begin[i] = at
	switch {
	case n.Status.Terminal():
		a.end[i] = 0
		return
	case !n.Spec.Kind.Group() || len(n.children) == 0:
		a.end[i] = at + a.own(n)
		return
	}
	end := at
	for _, c := range a.r.ordered(n) {
		start := at
		for _, d := range a.r.nodes[c].Spec.Depends.On {
			start = max(start, a.end[d])
		}
		a.group(c, start)
		end = max(end, a.end[c])
	}
	a.end[i] = end
}

// collect appends the critical stages in node i.
func (a *analysis) collect(i int32, path *[]int32) {
	n := a.r.nodes[i]
	if n.Status.Terminal() {
		return
	}
	if !n.Spec.Kind.Group() || len(n.children) == 0 {
		*path = append(*path, i)
		return
	}
	var chain []int32
	for at := a.latest(n.children, a.end[i]); at >= 0; {
		chain = append(chain, at)
		at = a.latest(a.r.nodes[at].Spec.Depends.On, a.begin[at])
	}
	for k := len(chain) - 1; k >= 0; k-- {
		a.collect(chain[k], path)
	}
}

// latest finds the unfinished node of a list that ends at the given time, or -1.
func (a *analysis) latest(list []int32, end Duration) int32 {
	for _, c := range list {
		if !a.r.nodes[c].Status.Terminal() && a.end[c] == end {
			return c
		}
	}
	return -1
}

// ordered lists the children of a group, each after what it depends on.
func (r *Run) ordered(g *Node) []int32 {
	open := make(map[int32]int, len(g.children))
	var list []int32
	for _, c := range g.children {
		open[c] = len(r.nodes[c].Spec.Depends.On)
		if open[c] == 0 {
			list = append(list, c)
		}
	}
	for k := 0; k < len(list); k++ {
		for _, d := range r.nodes[list[k]].dependents {
			if open[d]--; open[d] == 0 {
				list = append(list, d)
			}
		}
	}
	return list
}
