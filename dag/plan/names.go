package plan

import (
	"fmt"
	"regexp"
	"strings"
)

// Bounds of names, in bytes.
const (
	// MaxPlanName leaves room for the task's suffix: the task's name is a label of at most 63.
	MaxPlanName = 54
	// suffixLen is the length of a task's random suffix.
	suffixLen = 8
	// maxClicID is the length of a Job's name. maxID leaves room for an attempt's number behind it.
	maxClicID = 63
	maxID     = 58
)

var (
	planName  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
	callName  = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9]*$`)
	paramName = regexp.MustCompile(`^[-A-Za-z0-9_]+$`)
)

// ValidName says what is wrong with a plan's name, if anything. Letter case does not matter: it is lower-cased.
func ValidName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the plan has no name")
	case strings.Contains(name, "_"):
		return fmt.Errorf("plan name %q: it must not contain _, because stages are named after it; use - instead", name)
	case len(name) > MaxPlanName:
		return fmt.Errorf("plan name %q: it has %d characters, at most %d are allowed", name, len(name), MaxPlanName)
	case !planName.MatchString(strings.ToLower(name)):
		return fmt.Errorf("plan name %q: only letters, digits, - and . are allowed, with a letter or digit at both ends", name)
	}
	return nil
}

// TaskName is the full name of a task of the plan. random are 8 random bytes; equal ones give the same name.
func TaskName(name string, random [8]byte) string {
	b := make([]byte, 0, len(name)+1+suffixLen)
	b = append(b, strings.ToLower(name)...)
	b = append(b, '-')
	for _, r := range random {
		b = append(b, 'a'+r%26)
	}
	return string(b)
}

// SplitSuffix finds what may be the task's 8-letter suffix in the id of one of its stages (or in the task's own name),
// likeliest first. Words of eight letters look just the same, so there may be several.
func SplitSuffix(stageID string) []string {
	var inside, last []string
	parts := strings.Split(stageID, "-")
	for i, p := range parts {
		if i == 0 || !isSuffix(p) {
			continue
		}
		if i == len(parts)-1 {
			last = append(last, p)
		} else {
			inside = append(inside, p)
		}
	}
	return append(inside, last...)
}

func isSuffix(s string) bool {
	if len(s) != suffixLen {
		return false
	}
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return false
		}
	}
	return true
}

// Name is the plan's name from its metadata, or "" where it has none.
func (d *Document) Name() string {
	m := d.wf.ObjectMeta
	if m.Name != "" {
		return strings.ToLower(m.Name)
	}
	return strings.ToLower(strings.TrimRight(m.GenerateName, "-."))
}
