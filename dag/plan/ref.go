package plan

import (
	"strconv"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"

	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

func containsTag(s string) bool { return strings.Contains(s, "{{") }

// ref says which call of the plan made a node. Its text is the node's Spec.Call:
//
//	e                 the entry
//	x                 the exit handler
//	w.NAME            a hook of the plan
//	c3.1              call 1 of template 3
//	h3.1.NAME         a hook of that call
//
// and behind it, after a space, the JSON of the item in whose turn the call is made, where it is in a loop.
type ref struct {
	kind           byte
	template, call int
	hook           string
	item           string
}

func (r ref) String() string {
	var s string
	switch r.kind {
	case 'c', 'h':
		s = string(r.kind) + strconv.Itoa(r.template) + "." + strconv.Itoa(r.call)
		if r.kind == 'h' {
			s += "." + r.hook
		}
	case 'w':
		s = "w." + r.hook
	default:
		s = string(r.kind)
	}
	if r.item != "" {
		s += " " + r.item
	}
	return s
}

// parseRef reads what String wrote; ok is false for anything else.
func parseRef(s string) (r ref, ok bool) {
	s, r.item, _ = strings.Cut(s, " ")
	if s == "" {
		return r, false
	}
	r.kind = s[0]
	switch r.kind {
	case 'e', 'x':
		return r, len(s) == 1
	case 'w':
		r.hook, ok = strings.CutPrefix(s, "w.")
		return r, ok
	case 'c', 'h':
	default:
		return r, false
	}
	first, rest, _ := strings.Cut(s[1:], ".")
	second, hook, _ := strings.Cut(rest, ".")
	var err1, err2 error
	r.template, err1 = strconv.Atoi(first)
	r.call, err2 = strconv.Atoi(second)
	r.hook = hook
	return r, err1 == nil && err2 == nil && r.template >= 0 && r.call >= 0
}

// find gives what a reference stands for: the call (nil for the entry and the plan's own hooks), the hook or nil, and the
// template that is called.
func (s *templateSet) find(r ref) (k *call, h *hook, callee *template, ok bool) {
	at := -1
	switch r.kind {
	case 'e':
		at = s.entry
	case 'x':
		if h = s.exit; h != nil {
			at = h.callee
		}
	case 'w':
		for _, x := range s.hooks {
			if x.name == r.hook {
				h, at = x, x.callee
			}
		}
	case 'c', 'h':
		if r.template >= len(s.all) || r.call >= len(s.all[r.template].calls) {
			return nil, nil, nil, false
		}
		k = s.all[r.template].calls[r.call]
		at = k.callee
		if r.kind == 'h' {
			at = -1
			if h = k.hook(r.hook); h != nil {
				at = h.callee
			}
		}
	}
	if at < 0 || at >= len(s.all) {
		return nil, nil, nil, false
	}
	return k, h, s.all[at], true
}

// around is the dag or steps template that makes the call; nil where it is the plan itself.
func (s *templateSet) around(r ref) *wfv1.Template {
	if (r.kind == 'c' || r.kind == 'h') && r.template < len(s.all) {
		return s.all[r.template].src
	}
	return nil
}

func (k *call) hook(name string) *hook {
	for _, h := range k.hooks {
		if h.name == name {
			return h
		}
	}
	return nil
}

// hookNames are the names of a call's hooks.
func (k *call) hookNames() []string {
	var names []string
	for _, h := range k.hooks {
		names = append(names, h.name)
	}
	return names
}

// itemScope are the variables of the item, or nil.
func (r ref) itemScope() expr.MapScope {
	if r.item == "" {
		return nil
	}
	item, err := expr.NewItem([]byte(r.item))
	if err != nil {
		return nil
	}
	return item.Scope()
}
