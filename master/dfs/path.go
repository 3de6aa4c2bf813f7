package dfs

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// MaxName is how long an element of a path may be, in bytes: what both Linux and HDFS allow unless told otherwise.
const MaxName = 255

// CheckPath says what makes a path unfit for any FS, with ErrInvalid: not absolute, not clean, not UTF-8, a zero byte in it, or an
// element longer than MaxName. Adapters call it first, so that they all refuse the same.
func CheckPath(name string) error {
	reason := ""
	switch {
	case !strings.HasPrefix(name, "/"):
		reason = "it is not absolute"
	case path.Clean(name) != name:
		reason = fmt.Sprintf("it is not clean, as %q is", path.Clean(name))
	case !utf8.ValidString(name):
		reason = "it is not UTF-8"
	case strings.ContainsRune(name, 0):
		reason = "it has a zero byte"
	}
	for element := range strings.SplitSeq(name, "/") {
		if reason == "" && len(element) > MaxName {
			reason = fmt.Sprintf("an element of it has %d bytes, more than %d", len(element), MaxName)
		}
	}
	if reason == "" {
		return nil
	}
	return fmt.Errorf("%w %q: %s", ErrInvalid, name, reason)
}
