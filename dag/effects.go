package dag

// Pending gives every effect that follows from the state: what the world has to do, or has to be asked about, after the
// run was loaded.
func (r *Run) Pending() []Effect {
	list := r.EffectsOf(-1)
	for i := range r.nodes {
		list = r.effects(list, int32(i))
	}
	return list
}

// EffectsOf gives the effects of one node, or those of the task as a whole (-1). After a Step, the effects of the nodes
// that its Delta names are all that are new.
func (r *Run) EffectsOf(i int32) []Effect {
	if i >= 0 {
		return r.effects(nil, i)
	}
	var list []Effect
	at := r.task.Due
	for _, h := range r.task.Holds {
		if h.Until > 0 && (at == 0 || h.Until < at) {
			at = h.Until
		}
	}
	if at > 0 {
		list = append(list, Effect{Kind: EffectTimer, Node: -1, At: at})
	}
	return list
}

func (r *Run) effects(list []Effect, i int32) []Effect {
	n := r.nodes[i]
	add := func(k EffectKind, at Time) {
		list = append(list, Effect{Kind: k, Node: i, Attempt: n.Attempt, At: at})
	}
	switch n.Status {
	case Waiting:
		if n.Ready {
			add(EffectReady, 0)
		}
	case Launching:
		add(EffectLaunch, 0)
	case Cancelling:
		if n.Live {
			add(EffectCancel, 0)
			list[len(list)-1].Pause = n.pausing()
		}
	case Retrying:
		add(EffectTimer, n.RetryAt)
	case Running:
		if n.Spec.Kind == KindRetry && n.RetryAt > 0 && len(n.Holds) == 0 {
			add(EffectTimer, n.RetryAt)
		}
	}
	if n.Status.Terminal() && n.Live && n.Intent == IntentCancel {
		add(EffectCancel, 0)
	}
	if n.Due > 0 && n.Status != Cancelling {
		add(EffectTimer, n.Due)
	}
	return list
}
