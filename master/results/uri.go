package results

import (
	"net/url"
	"strings"
)

// cutScheme cuts "scheme:" off a path. A name that begins with a slash has none, whatever colons follow.
func cutScheme(path string) (scheme, rest string) {
	i := strings.IndexByte(path, ':')
	if i < 2 { // no scheme is that short; a drive letter is
		return "", path
	}
	for p, c := range []byte(path[:i]) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (p == 0 || !('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return "", path
		}
	}
	return strings.ToLower(path[:i]), path[i+1:]
}

// localName is the path in what follows "file:": file:///a, file:/a (as Hadoop writes it) and file://localhost/a are the same.
func localName(rest string) string {
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		rest = strings.TrimPrefix(after, "localhost")
	}
	// Hadoop does not escape, Java's URI does. What cannot be unescaped was not escaped.
	if name, err := url.PathUnescape(rest); err == nil {
		return name
	}
	return rest
}
