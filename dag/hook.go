package dag

// askHooks asks the plan whether hooks of a node whose status has changed are due.
func (r *Run) askHooks(i int32) {
	n := r.nodes[i]
	if r.x == nil || r.task.Stop != nil && !r.task.Stop.Handlers {
		return
	}
	if p := n.Spec.Parent; p != NoParent && (r.nodes[p].Status != Running || r.nodes[p].Intent != IntentNone) {
		return // the group is being ended: nothing more starts in it
	}
	for _, name := range n.Spec.Hooks {
		if r.fired(n, name) || name == ExitHook && n.Status != Completed && n.Status != Failed {
			continue
		}
		specs, fire, err := r.x.Hook(r, i, name)
		if err != nil {
			r.warn(i, "cannot evaluate hook "+name+": "+err.Error())
			continue
		}
		if !fire || len(specs) == 0 {
			continue
		}
		specs[0].HookOf = i + 1
		specs[0].Index = r.hookNumber(n, name)
		added, err := r.adopt(specs, n.Spec.Parent)
		if err != nil {
			r.warn(i, "cannot run hook "+name+": "+err.Error())
			continue
		}
		r.consider(added[0])
	}
}

// ExitHook is the name of the hook that runs when its node has ended.
const ExitHook = "exit"

// hookNumber is the 1-based position of a hook among the names of its node; it marks the hook's node.
func (r *Run) hookNumber(n *Node, name string) int32 {
	for k, h := range n.Spec.Hooks {
		if h == name {
			return int32(k) + 1
		}
	}
	return 0
}

func (r *Run) fired(n *Node, name string) bool {
	for _, h := range n.hooks {
		if r.nodes[h].Spec.Index == r.hookNumber(n, name) {
			return true
		}
	}
	return false
}

// runExitHandler starts the plan's exit handler, once.
func (r *Run) runExitHandler() {
	if r.x == nil {
		return
	}
	if e := r.task.ExitNode; e != 0 {
		r.consider(e) // made for an earlier end of the task, which was retried since
		return
	}
	specs, err := r.x.OnExit(r)
	if err == nil && len(specs) > 0 {
		var added []int32
		if added, err = r.adopt(specs, NoParent); err == nil {
			r.task.ExitNode = added[0]
			r.step.delta.Header = true
			r.consider(added[0])
		}
	}
	if err != nil {
		r.warn(0, "cannot run the exit handler: "+err.Error())
	}
}
