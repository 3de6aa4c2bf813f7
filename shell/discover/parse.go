package discover

import (
	"errors"
	"fmt"
	"strings"
)

// Parse reads key=value lines as bash would read them when it sources the file: comments after #, single and double
// quotes, backslashes, an optional "export" in front, several assignments on one line. What bash would execute (commands,
// substitutions, variables) is an error: nothing is ever executed. The last assignment of a key counts. Errors are *Error
// and name file:line.
func Parse(file, content string) (Values, error) {
	values := Values{}
	for i, line := range strings.Split(content, "\n") {
		if i == 0 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		words, err := split(strings.TrimSuffix(line, "\r"))
		if err == nil {
			err = assign(values, words, i+1)
		}
		if err != nil {
			return nil, &Error{Where: fmt.Sprintf("%s:%d", file, i+1), Err: err}
		}
	}
	return values, nil
}

// assign records the assignments among the words of a line.
func assign(values Values, words []string, line int) error {
	if len(words) > 0 && words[0] == "export" {
		words = words[1:]
	}
	for _, w := range words {
		key, value, found := strings.Cut(w, "=")
		switch {
		case !found:
			return fmt.Errorf("%q is not of the form key=value (no spaces around the =)", w)
		case !validKey(key):
			return fmt.Errorf("%q is not a key (letters, digits and _ are allowed)", key)
		}
		values[key] = Entry{Value: value, Line: line}
	}
	return nil
}

func validKey(key string) bool {
	for i, c := range key {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return key != ""
}

// split cuts a line into words and takes the quotes away.
func split(line string) ([]string, error) {
	var (
		words []string
		word  strings.Builder
		begun bool
	)
	end := func() {
		if begun {
			words = append(words, word.String())
			word.Reset()
			begun = false
		}
	}
	for i := 0; i < len(line); {
		c := line[i]
		switch {
		case c == ' ' || c == '\t' || c == ';':
			end()
			i++
		case c == '#' && !begun:
			return words, nil
		case c == '\'' || c == '"':
			text, n, err := quoted(line[i:])
			if err != nil {
				return nil, err
			}
			word.WriteString(text)
			begun = true
			i += n
		case c == '\\':
			if i+1 == len(line) {
				return nil, errors.New("a line cannot be continued with a backslash")
			}
			word.WriteByte(line[i+1])
			begun = true
			i += 2
		case strings.IndexByte("$`&|<>()", c) >= 0:
			return nil, fmt.Errorf("%q has a meaning to bash that is not supported here: put the value in single quotes", c)
		default:
			word.WriteByte(c)
			begun = true
			i++
		}
	}
	end()
	return words, nil
}

// quoted reads a quoted text at the beginning of s, and says how long it was.
func quoted(s string) (text string, n int, err error) {
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == quote:
			return b.String(), i + 1, nil
		case quote == '"' && c == '\\' && i+1 < len(s) && strings.IndexByte("\"\\$`", s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		case quote == '"' && (c == '$' || c == '`'):
			return "", 0, fmt.Errorf("%q has a meaning to bash that is not supported here: put the value in single quotes", c)
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, fmt.Errorf("the quote %c is not closed on this line", quote)
}
