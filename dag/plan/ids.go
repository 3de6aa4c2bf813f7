package plan

import (
	"crypto/sha256"
	"encoding/base32"
	"regexp"
	"strings"
)

// Stage ids are names of Kubernetes objects: letters, digits and dashes. That of a stage of the CLIC form is
// <task>-<template>-<n>; all others are <task>-<path of the call>, such as plan-abcdefgh-0-a-1-x for the path
// "[0].a(1:x)". What does not fit is shortened, but keeps the task's suffix, by which the task of a stage is found.

// namer makes ids that are unique in a run.
type namer struct {
	task string
	// taken reports whether the run has a node of that id.
	taken func(id string) bool
	mine  map[string]bool
}

func newNamer(task string, taken func(string) bool, room int) *namer {
	return &namer{task: task, taken: taken, mine: make(map[string]bool, room)}
}

// attemptLike ends like the name of a later attempt of another stage.
var attemptLike = regexp.MustCompile(`-r[0-9]+$`)

// path makes the id of the node with that path. template names the entry, whose path is empty.
func (n *namer) path(path, template string) string {
	text := path
	if text == "" {
		text = template
	}
	full := n.task + "-" + sanitize(text)
	if len(full) <= maxID && !attemptLike.MatchString(full) && n.claim(full) {
		return full
	}
	return n.short(full, path)
}

// clic makes the id of the n-th stage of a plan of the CLIC form.
func (n *namer) clic(template, number string) string {
	full := n.task + "-" + sanitize(template) + "-" + number
	if len(full) <= maxClicID && n.claim(full) {
		return full
	}
	return n.short(full, template+"-"+number)
}

func (n *namer) claim(id string) bool {
	if n.mine[id] || n.taken != nil && n.taken(id) {
		return false
	}
	n.mine[id] = true
	return true
}

// short cuts the plan's name and the path, and puts a hash at the end.
func (n *namer) short(full, path string) string {
	plan, suffix := n.task, ""
	if cut := len(n.task) - suffixLen - 1; cut > 0 && isSuffix(n.task[cut+1:]) {
		plan, suffix = n.task[:cut], n.task[cut:]
	}
	rest := strings.TrimPrefix(full, n.task)
	for salt := ""; ; salt += "." {
		hash := "-" + hashed(path+salt)
		room := maxID - len(suffix) - len(hash)
		keep := min(len(plan), max(room/3, room-len(rest)))
		id := strings.Trim(plan[:keep], "-.") + suffix
		if left := maxID - len(id) - len(hash); left < len(rest) {
			id += strings.TrimRight(rest[:left], "-")
		} else {
			id += rest
		}
		if id += hash; n.claim(id) {
			return id
		}
	}
}

// hashed is a short hash in lower-case letters and digits.
func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:7])
}

// sanitize makes a path a part of an id: everything but letters and digits becomes one dash.
func sanitize(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b = append(b, c)
		case c >= 'A' && c <= 'Z':
			b = append(b, c+'a'-'A')
		case len(b) > 0 && b[len(b)-1] != '-':
			b = append(b, '-')
		}
	}
	if s = strings.TrimRight(string(b), "-"); s == "" {
		return "x"
	}
	return s
}
