package local

import "strings"

// expand replaces what Kubernetes replaces in command, args and the values of env before a container starts: $(NAME) becomes the value of
// a variable that is known and stays as it is otherwise, and $$ becomes $, which also keeps $$(NAME) from being replaced. Values are
// not looked at again.
func expand(text string, known map[string]string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		switch {
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "("):
			text = reference(&b, after[1:], known)
		default:
			b.WriteByte('$')
			text = after
		}
	}
}

// reference writes what a reference becomes, of which text is what follows its beginning, and gives what follows it.
func reference(b *strings.Builder, text string, known map[string]string) string {
	name, after, closed := strings.Cut(text, ")")
	if !closed {
		b.WriteString("$(")
		return text
	}
	if value, ok := known[name]; ok {
		b.WriteString(value)
	} else {
		b.WriteString("$(" + name + ")")
	}
	return after
}

// expandAll is expand for a list. It leaves the list itself as it is.
func expandAll(list []string, known map[string]string) []string {
	all := make([]string, len(list))
	for i, text := range list {
		all[i] = expand(text, known)
	}
	return all
}
