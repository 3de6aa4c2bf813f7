package redis

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
)

// keys builds every key. The braces are for Redis Cluster, which keeps keys together that have the same text in braces: those of a
// task, and those that tasks share.
type keys struct {
	task, stage, prefix string
	// tags is nil unless this is a Cluster.
	tags *[slots]string
}

// sharedTag is the text in braces of what belongs to no single task.
const sharedTag = "{shared}"

// escape keeps braces out of a task's name.
func escape(task string) string {
	if !strings.ContainsAny(task, "{}%") {
		return task
	}
	return strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace(task)
}

func unescape(task string) string {
	if !strings.Contains(task, "%") {
		return task
	}
	return strings.NewReplacer("%25", "%", "%7B", "{", "%7D", "}").Replace(task)
}

// taskKey is the hash with a task's header. It is there exactly as long as the task is.
func (k *keys) taskKey(task string) string { return k.task + "{" + escape(task) + "}" }

// taskOf is the task whose key this is.
func (k *keys) taskOf(key string) (string, bool) {
	name, ok := strings.CutPrefix(key, k.task+"{")
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(name, "}")
	return unescape(name), ok && !strings.ContainsAny(name, "{}")
}

// stageBase is the key of a stage without its index at the end; a stage's hash is that of one node.
func (k *keys) stageBase(task string) string { return k.stage + "{" + escape(task) + "}:" }

func (k *keys) stageKey(task string, index int) string {
	return k.stageBase(task) + strconv.Itoa(index)
}

// planKey is the source of the plan, eventsKey the stream of the history.
func (k *keys) planKey(task string) string   { return k.prefix + "plan:{" + escape(task) + "}" }
func (k *keys) eventsKey(task string) string { return k.prefix + "events:{" + escape(task) + "}" }

// slot is where a task's keys are; 0 where there are no slots.
func (k *keys) slot(task string) uint16 {
	if k.tags == nil {
		return 0
	}
	return slotOf(k.taskKey(task))
}

// sharedSlot is where the keys are that tasks share.
func (k *keys) sharedSlot() uint16 {
	if k.tags == nil {
		return 0
	}
	return slotOf(sharedTag)
}

// fenceKey holds who may write in a slot, markKey how far the leader has come there.
func (k *keys) fenceKey(slot uint16) string { return k.slotKey("epoch", slot) }
func (k *keys) markKey(slot uint16) string  { return k.slotKey("mark", slot) }

func (k *keys) slotKey(name string, slot uint16) string {
	if k.tags == nil {
		return k.prefix + name
	}
	return k.prefix + name + ":{" + k.tags[slot] + "}"
}

// markStep is the distance of slots with a mark. A node of a Cluster has whole ranges of slots, so one of many that are spread
// evenly is on each.
const markStep = 256

// allSlots are those that may have a fence.
func (k *keys) allSlots() []uint16 {
	if k.tags == nil {
		return []uint16{0}
	}
	all := make([]uint16, slots)
	for i := range all {
		all[i] = uint16(i)
	}
	return all
}

// marks are the slots with a mark.
func (k *keys) marks() []uint16 {
	if k.tags == nil {
		return []uint16{0}
	}
	var all []uint16
	for slot := 0; slot < slots; slot += markStep {
		all = append(all, uint16(slot))
	}
	return all
}

// shared is the key of something that tasks share.
func (k *keys) shared(name string) string { return k.prefix + sharedTag + ":" + name }

func (k *keys) meta() string    { return k.shared("meta") }
func (k *keys) lease() string   { return k.shared("lease") }
func (k *keys) members() string { return k.shared("members") }
func (k *keys) secrets() string { return k.shared("secrets") }
func (k *keys) turns() string   { return k.shared("turns") }

// used has a bit for each slot of a Cluster in which a task was ever written.
func (k *keys) used() string { return k.shared("slots") }

// The indexes.
func (k *keys) all() string                    { return k.shared("all") }
func (k *keys) status(s dag.TaskStatus) string { return k.shared("status:" + s.String()) }
func (k *keys) plan(plan string) string        { return k.shared("plan:" + term(plan)) }
func (k *keys) label(name, value string) string {
	return k.shared("label:" + term(name+"="+value))
}
func (k *keys) expires() string               { return k.shared("expires") }
func (k *keys) suffix() string                { return k.shared("suffix") }
func (k *keys) request(request string) string { return k.shared("request:" + term(request)) }

// garbage is a hash of tasks of which stages may be left over, and how many.
func (k *keys) garbage() string { return k.shared("garbage") }

// maxTerm is the longest text that is spelled out in a key.
const maxTerm = 200

// term is a text as it stands in a key: a long one is cut, with a hash of all of it. Indexes may have more than they should, so
// it does no harm if two are the same.
func term(s string) string {
	if len(s) <= maxTerm {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return s[:maxTerm/2] + "~" + hex.EncodeToString(sum[:])
}

// suffixLen is the number of random letters at the end of a task's name.
const suffixLen = 8

func suffixOf(task string) string { return task[max(0, len(task)-suffixLen):] }

// taskOfSuffix is the task in a member of the index of suffixes, which is the suffix, a colon, and the name.
func taskOfSuffix(m string) string {
	if len(m) > 2*suffixLen {
		return m[suffixLen+1:]
	}
	return m[(len(m)+1)/2:] // the name is shorter than a suffix, so it is its own
}

// maxStamp is the latest time of submission that has a place of its own in the indexes.
const maxStamp = 999_999_999_999_999

// stamp is a time in the members of an index, such that the order of the texts is the order of the times.
func stamp(t dag.Time) string { return fmt.Sprintf("%015d", max(0, min(t, maxStamp))) }

// member is a task's place in the indexes that lists are read from.
func member(submitted dag.Time, task string) string { return stamp(submitted) + ":" + task }

// stampLen is the length of a stamp.
const stampLen = 15

// taskOfMember is the inverse of member.
func taskOfMember(m string) (string, bool) {
	if len(m) <= stampLen+1 || m[stampLen] != ':' {
		return "", false
	}
	for i := range stampLen {
		if m[i] < '0' || m[i] > '9' {
			return "", false
		}
	}
	return m[stampLen+1:], true
}
