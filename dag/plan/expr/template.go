package expr

import (
	"errors"
	"sort"
	"strings"
)

// Ref is one use of a variable.
type Ref struct {
	// Name is the variable, such as steps.a.outputs.result. In an expression it is the longest chain of names that is known
	// without evaluating, which may be that of a group of variables (inputs.parameters in inputs.parameters[item]).
	Name string
	// Offset is the byte in the text at which the tag, or within an expression the name, begins.
	Offset int
	// Expr says that the use is in an {{=expression}}.
	Expr bool
}

// Template is a parsed string with {{tags}} and {{=expressions}}. It is immutable and safe for concurrent use.
type Template struct {
	text  string
	parts []part
}

// part is a stretch of literal text, a tag, or an expression.
type part struct {
	kind   partKind
	text   string // literal text, or what stands between the braces
	offset int    // of the braces
	// prefix and nested are of a nested tag: {{prefix{{nested}}.
	prefix, nested string
	expr           *Expression
}

type partKind uint8

const (
	partLiteral partKind = iota
	partTag
	partExpr
)

const (
	tagOpen  = "{{"
	tagClose = "}}"
)

// ParseTemplate parses a string. Errors are *Error: a {{ that is never closed, too long a text, an expression with a syntax
// error.
func ParseTemplate(s string) (*Template, error) {
	if len(s) > MaxTemplate {
		return nil, limitError(0, "text is longer than %d bytes", MaxTemplate)
	}
	t := &Template{text: s}
	for pos := 0; pos < len(s); {
		start := strings.Index(s[pos:], tagOpen)
		if start < 0 {
			t.parts = append(t.parts, part{text: s[pos:], offset: pos})
			break
		}
		start += pos
		if start > pos {
			t.parts = append(t.parts, part{text: s[pos:start], offset: pos})
		}
		end := strings.Index(s[start+len(tagOpen):], tagClose)
		if end < 0 {
			return nil, errorAt(start, "Cannot find end tag=\"}}\" starting from %q", shorten(s[start:]))
		}
		end += start + len(tagOpen)
		p, err := parsePart(s[start+len(tagOpen):end], start)
		if err != nil {
			return nil, err
		}
		if t.parts = append(t.parts, p); len(t.parts) > 2*MaxTags {
			return nil, limitError(start, "more than %d tags", MaxTags)
		}
		pos = end + len(tagClose)
	}
	return t, nil
}

// parsePart reads what stands between the braces.
func parsePart(inner string, offset int) (part, error) {
	if src, ok := strings.CutPrefix(inner, "="); ok {
		e, err := ParseExpression(src)
		if err != nil {
			var perr *Error
			if errors.As(err, &perr) {
				perr.Offset += offset + len(tagOpen) + 1
			}
			return part{}, err
		}
		return part{kind: partExpr, text: inner, offset: offset, expr: e}, nil
	}
	p := part{kind: partTag, text: inner, offset: offset}
	if i := strings.LastIndex(inner, tagOpen); i > 0 {
		// Text of another template language around a tag: {{- with secret "{{inputs.parameters.x}}" -}}.
		p.prefix, p.nested = inner[:i], inner[i+len(tagOpen):]
	}
	return p, nil
}

// Literal says that the string has no tags at all.
func (t *Template) Literal() bool {
	return len(t.parts) == 0 || len(t.parts) == 1 && t.parts[0].kind == partLiteral
}

// String is the text that was parsed.
func (t *Template) String() string { return t.text }

// Refs lists every use of a variable, in the order of the text.
func (t *Template) Refs() []Ref {
	var refs []Ref
	for i := range t.parts {
		switch p := &t.parts[i]; {
		case p.kind == partTag && p.nested != "":
			at := p.offset + len(tagOpen) + len(p.prefix)
			refs = append(refs, Ref{Name: strings.TrimSpace(p.nested), Offset: at})
		case p.kind == partTag:
			refs = append(refs, Ref{Name: strings.TrimSpace(p.text), Offset: p.offset})
		case p.kind == partExpr:
			for _, r := range p.expr.Refs() {
				r.Offset += p.offset + len(tagOpen) + 1
				refs = append(refs, r)
			}
		}
	}
	return refs
}

// Execute substitutes. A tag that the scope does not know is an *UnresolvedError, unless opt allows it; a failing expression
// is an *UnresolvedError if a variable in it is unknown, and an *Error otherwise.
func (t *Template) Execute(sc Scope, opt Options) (string, error) {
	if t.Literal() {
		return t.text, nil
	}
	if sc == nil {
		sc = MapScope(nil)
	}
	var b strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		switch p.kind {
		case partLiteral:
			b.WriteString(p.text)
		case partTag:
			if err := p.writeTag(&b, sc, opt); err != nil {
				return "", err
			}
		case partExpr:
			if err := p.writeExpr(&b, sc, opt); err != nil {
				return "", err
			}
		}
		// Literal text is not counted: a template that is longer than a result may be was accepted as such.
		if b.Len() > max(opt.maxResult(), len(t.text)) {
			return "", limitError(p.offset, "substituted text is longer than %d bytes", opt.maxResult())
		}
	}
	return b.String(), nil
}

// writeTag substitutes a {{tag}}.
func (p *part) writeTag(b *strings.Builder, sc Scope, opt Options) error {
	if v, ok := sc.Lookup(strings.TrimSpace(p.text)); ok {
		b.WriteString(v)
		return nil
	}
	if p.nested != "" {
		if v, ok := sc.Lookup(p.nested); ok {
			// The closing braces belonged to the inner tag; the outer one goes on in the text.
			b.WriteString(tagOpen + p.prefix + v)
			return nil
		}
	}
	if opt.AllowUnresolved {
		b.WriteString(tagOpen + p.text + tagClose)
		return nil
	}
	name := strings.TrimSpace(p.text)
	return &UnresolvedError{Name: name, Offset: p.offset, Nearest: Nearest(name, sc.Names())}
}

// writeExpr substitutes an {{=expression}}.
func (p *part) writeExpr(b *strings.Builder, sc Scope, opt Options) error {
	if opt.AllowUnresolved && p.expr.waits(sc) {
		b.WriteString(tagOpen + p.text + tagClose)
		return nil
	}
	v, err := p.expr.text(sc, opt)
	if err == nil {
		b.WriteString(v)
		return nil
	}
	// An expression that is too expensive is never meant to stay.
	if opt.AllowUnresolved && !errors.Is(err, ErrLimit) {
		b.WriteString(tagOpen + p.text + tagClose)
		return nil
	}
	at := p.offset + len(tagOpen) + 1
	var unresolved *UnresolvedError
	var failed *Error
	switch {
	case errors.As(err, &unresolved):
		unresolved.Offset += at
	case errors.As(err, &failed):
		failed.Offset += at
	}
	return err
}

// Substitute parses and executes in one go; without {{ in it, the string comes back untouched.
func Substitute(s string, sc Scope, opt Options) (string, error) {
	if !strings.Contains(s, tagOpen) {
		return s, nil
	}
	t, err := ParseTemplate(s)
	if err != nil {
		return "", err
	}
	return t.Execute(sc, opt)
}

// sortedNames are the scope's names in order.
func sortedNames(sc Scope) []string {
	names := append([]string(nil), sc.Names()...)
	sort.Strings(names)
	return names
}
