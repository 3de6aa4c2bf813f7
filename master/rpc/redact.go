package rpc

import (
	"regexp"
	"strings"
)

// hidden stands for a secret.
const hidden = "***"

// Forms in which secrets appear in command lines and descriptions: an option or variable whose name says so, an
// Authorization header, and the password of a URL. What was meant for a program goes to it unchanged; this is about what
// is shown.
const secretName = `(?i:[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\w.-]*)`

// redactor hides secrets in text for people.
type redactor struct {
	assigned, header, url *regexp.Regexp
}

func newRedactor() *redactor {
	return &redactor{
		// NAME=value, NAME: value, --name=value and --name value, the value perhaps in quotes.
		assigned: regexp.MustCompile(`(--?` + secretName + `[= ]\s*|\b` + secretName + `"?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;"'&]+)`),
		header:   regexp.MustCompile(`(?i)(\b(?:bearer|basic)\s+)([A-Za-z0-9._~+/=-]{6,})`),
		url:      regexp.MustCompile(`(\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*:)([^\s/@]+)(@)`),
	}
}

func (r *redactor) text(s string) string {
	if s == "" {
		return s
	}
	s = r.url.ReplaceAllString(s, "${1}"+hidden+"${3}")
	s = r.header.ReplaceAllString(s, "${1}"+hidden)
	return r.assigned.ReplaceAllString(s, "${1}"+hidden)
}

// line joins what describes something, without secrets.
func (r *redactor) line(parts ...string) string {
	var some []string
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			some = append(some, p)
		}
	}
	return r.text(strings.Join(some, "; "))
}
